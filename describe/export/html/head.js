// Draws one head: its descriptions and its tables. `text.js` comes before this in the same script element.

let drawn = null; // the head that is drawn, with the tables of what it names by number

function tokenChip(token, tag = "span") {
  const chip = appendMarked(make(tag, "token"), drawn.tokens[token], HIDDEN_IN_TOKEN);
  if (drawn.tokens[token] === "") chip.append(make("span", "escape", "empty"));
  chip.dataset.tip = `token ${drawn.token_ids[token]}`;
  return chip;
}

// ---- The panel of the selected head ----

// Draws the selected head once it is there, unless another was selected meanwhile.
async function showHead() {
  const wanted = selected;
  const place = placeOf[wanted];
  if (place === undefined) {
    drawn = null;
    $("head").replaceChildren(headline(null), make("p", "message", "This head has not been extracted."));
    return;
  }
  let head = null;
  try {
    head = await parts.head(place);
  } catch (error) {
    if (wanted === selected) $("head").replaceChildren(headline(null), prose("p", "cause", `This head cannot be shown: ${error.message}`));
    return;
  }
  if (wanted !== selected) return;
  drawn = head;
  const below = [descriptionCards, roleTable, evidenceTable, allOperations, heldOut, nearest, readBy, provenance];
  const drawing = [whatItDoes, implemented, bothSides, ...below];
  $("head").replaceChildren(headline(head), ...drawing.map((part) => part(head)));
}

function headline(head) {
  const facts = make("dl", "facts");
  for (const [i, [label, note]] of head ? overview.facts.entries() : []) {
    const name = explain(make("dt", "", label), note);
    facts.append(make("div", "", name, make("dd", "", format(head.figures[i]))));
  }
  const buttons = make("nav", "", stepButton(-1), stepButton(1));
  buttons.setAttribute("aria-label", "Other heads");
  if (head?.link) {
    const link = make("a", "", "At Neuronpedia");
    link.href = head.link;
    link.rel = "noreferrer";
    buttons.prepend(link);
  }
  if (head?.file) {
    const file = make("a", "", "JSON");
    file.href = head.file;
    file.download = "";
    buttons.prepend(file);
  }
  const title = make("h2", "", `Head ${nameOf(selected)}`);
  title.tabIndex = -1;
  return make("div", "headline", title, facts, buttons);
}

// The card: what the head does in one line, the figure that this rests on, and what contradicts it.
function whatItDoes({ card, worded, named }) {
  if (!card) return "";
  const [line, kind, basis, contradictions] = card;
  const said = make("section", "what", prose("p", "line", line));
  said.dataset.kind = kind;
  if (basis) said.append(prose("p", "basis", basis));
  for (const words of contradictions) said.append(make("p", "but", make("b", "", "But "), prose("span", "", words)));
  said.append(...named.map((words) => prose("p", "named", `Named in a paper: ${words}`)));
  said.append(...worded.map(wording));
  return said;
}

// The card as an LLM words it: statements with numbers; below, folded, the evidence by these numbers.
function wording([by, failed, statements, evidence, notes]) {
  const lines = (failed ? [failed] : statements).map((words) => prose("p", failed ? "cause" : "", words));
  const rests = [...evidence, ...notes].map((words) => prose("p", "", words));
  return make("section", "worded", prose("p", "by", `Worded by ${by}`), ...lines, rests.length ? disclosure("What it rests on", make("div", "", ...rests)) : "");
}

// Left where the head looks, right what it writes, in words; one alone where nothing is known of the other. Then its
// mappings, over the full width.
function bothSides(head) {
  const looks = whereItLooks(head);
  const told = [besideRandom, constantPart, inPrompts].map((part) => part(head)).filter(Boolean);
  const mappings = [rowTable, suppressedTable, distinctTable].map((part) => part(head));
  const heading = make("h3", "", "What it writes");
  if (!looks || !told.length) return make("div", "", looks, make("section", "writes", heading, ...told, ...mappings));
  const sides = make("div", "sides", looks, make("section", "writes", heading, ...told));
  return make("div", "", sides, make("section", "writes", ...mappings));
}

const JUDGED_BY = { write: "words", attention: "contexts" }; // the others by rows

function stepButton(step) {
  let index = selected + step;
  while (index in cells && placeOf[index] === undefined) index += step;
  const button = make("button", "", step < 0 ? "←" : "→");
  button.setAttribute("aria-label", `${step < 0 ? "Previous" : "Next"} head${index in cells ? `, ${nameOf(index)}` : ""}`);
  button.disabled = !(index in cells);
  button.onclick = () => go({ head: nameOf(index) });
  return button;
}

function descriptionCards(head) {
  if (!head.descriptions.length) return make("p", "message", "No description has been made of this head.");
  const [best, ...others] = head.descriptions.map(descriptionCard);
  const folded = others.length ? disclosure(`${others.length} other descriptions`, make("div", "descriptions", ...others)) : "";
  return make("section", "", make("h3", "", "What was said of it"), make("div", "descriptions", best), folded);
}

function descriptionCard({ state, llm, prompt, role, inputs, pattern, grouped, cause, verdict, reasoning, scores, raters }) {
  const who = role ? [make("b", "role", `role ${role}`), prose("b", "", drawn.shared[llm])] : [prose("b", "", drawn.shared[llm])];
  const source = make("span", "", ...who, prose("span", "prompt", drawn.shared[prompt]));
  const card = make("section", "card", make("header", "", source, make("span", "badge", overview.states[state])));
  card.dataset.state = state;
  if (cause) card.append(make("h3", "", "Cause"), prose("p", "cause", cause));
  if (state === "unclear") card.append(make("p", "pattern", "No clear pattern was found."));
  else if (pattern !== null) card.append(make("h3", "", "Pattern"), prose("p", "pattern", pattern));
  if (inputs !== null && !(state === "unclear" && inputs === "Unclear")) card.append(make("h3", "", "Inputs"), prose("p", "", inputs));
  if (grouped.length) card.append(make("h3", "", "Lines"), ...grouped.map((line) => prose("p", "", line)));
  if (state === "described") card.append(make("h3", "", "Verdict"), explain(make("p", "verdict", verdict), VERDICT));
  if (scores.length) card.append(make("h3", "", "Scores"), make("ul", "scores", ...scores.map(scoreLine)));
  if (raters) card.append(make("h3", "", "Raters"), prose("p", "", raters));
  if (reasoning) card.append(disclosure("Reasoning", prose("p", "", reasoning)));
  return card;
}

const VERDICT = "Whether the scores of the description show more than a wrong description, or shared tokens alone, would";

// A score with its interval and what a wrong description of the same head gets, in numbers and, for shares, as a bar.
function scoreLine([measure, judge, value, low, high, wrong, n, cause, withInterval, levels]) {
  const by = prose("span", "by", `${measure} by ${drawn.shared[judge]}`);
  if (value === null) return make("li", "", by, prose("span", "cause", `no score: ${cause}`));
  const line = make("li", "", by, make("b", "", withInterval), `, ${n} ${JUDGED_BY[measure] ?? "rows"}; wrong description: ${levels}`);
  explain(by, `${overview.measures[measure] ?? measure}; the bar: its 95 % interval, and a wrong description's mark`);
  if (measure === "likelihood") return line;
  const bar = make("i", "interval", make("i", "value"));
  for (const [name, share] of Object.entries({ value, low: low ?? value, high: high ?? value })) {
    bar.style.setProperty(`--${name}`, Math.min(1, Math.max(0, share)));
  }
  if (wrong !== null) {
    const mark = make("i", "wrong");
    mark.style.setProperty("--value", Math.min(1, Math.max(0, wrong)));
    bar.append(mark);
  }
  line.append(bar);
  return line;
}

const spaced = (name) => name.replaceAll("_", " ");

const disclosure = (title, content) => make("details", "", prose("summary", "", title), content);

// A part over the full width; where it needs more it scrolls, by keyboard too.
function widePart(title, content) {
  const part = make("section", "wide", make("h3", "", title), content);
  part.tabIndex = 0;
  part.setAttribute("aria-label", title);
  return part;
}

function heading(scope, content) {
  const cell = make("th", "", content);
  cell.scope = scope;
  return cell;
}

function table(className, caption, headings, rows) {
  const top = make("tr", "", ...headings.map((text) => heading("col", text)));
  const parts = [make("caption", "", caption), make("thead", "", top), make("tbody", "", ...rows)];
  return make("table", className, ...parts);
}

function barCell(value, most) {
  const bar = make("i", value < 0 ? "bar negative" : "bar");
  bar.style.setProperty("--share", most > 0 ? Math.abs(value) / most : 0);
  return make("td", "measure", make("span", "", format(value), bar));
}

// An operation's values: score, suppression, and, where the model was run, the score in prompts
// without and with context.
function operationTable(relations) {
  const most = Math.max(...relations.flatMap(([, values]) => values.map(Math.abs)));
  const columns = Math.max(...relations.map(([, values]) => values.length));
  const rows = relations.map(([operation, values]) => {
    const name = heading("row", prose("span", "", spaced(operation)));
    const missing = Array.from({ length: columns - values.length }, () => make("td", "measure", format(null)));
    return make("tr", "", name, ...values.map((value) => barCell(value, most)), ...missing);
  });
  const headings = ["Operation", "Score", "Suppression", "Without context", "With context"];
  return table("operations", "Share of an operation's pairs whose target is among the head's highest, or lowest", headings.slice(0, 1 + columns), rows);
}

function sortedRelations(head) {
  const strongest = ([, [score, suppression]]) => Math.max(score, suppression);
  return Object.entries(head.relations).sort((a, b) => strongest(b) - strongest(a));
}

function implemented(head) {
  const strong = sortedRelations(head).filter(([, values]) => Math.max(...values.slice(0, 2)) >= overview.threshold);
  return strong.length ? widePart("Operations it implements or suppresses", operationTable(strong)) : "";
}

function allOperations(head) {
  const relations = sortedRelations(head);
  return relations.length ? disclosure(`All ${relations.length} operations`, operationTable(relations)) : "";
}

function besideRandom(head) {
  return head.figure ? make("p", "message", `Its mappings, by the vocabulary alone: ${head.figure[0]}.`) : "";
}

// ---- Where the head looks: kinds in words, contexts as shaded tokens with the same in words below, then the figures ----

function whereItLooks(head) {
  const shown = [onText(head), byWeights(head)].filter(Boolean);
  return shown.length ? make("section", "attention", make("h3", "", "Where it looks"), ...shown) : "";
}

function onText({ attention }) {
  if (!attention) return "";
  const contexts = make("ol", "contexts", ...attention.contexts.map(contextLine));
  contexts.setAttribute("aria-label", "Places from which the head looks");
  const pairs = attention.pairs.map(([source, target, share, count]) => {
    const ends = [heading("row", textChip(source)), make("td", "", textChip(target))];
    return make("tr", "", ...ends, barCell(share, 1), make("td", "measure", `${count}`));
  });
  const figures = attention.figures.map(([meaning, ...values]) => {
    return make("tr", "", heading("row", meaning), ...values.map((value) => make("td", "measure", format(value))));
  });
  const headings = ["Attention to", "On text", "Spread", "Uniform head", "Shuffled", "Random tokens"];
  return make(
    "div",
    "",
    prose("p", "", attention.words),
    contexts,
    pairs.length ? disclosure("Pairs of tokens", table("evidence", "Strongest pairs", ["From", "At", "Attention", "Times"], pairs)) : "",
    figures.length ? disclosure("Figures", table("evidence", "Where its attention goes", headings, figures)) : "",
  );
}

// The pairs of tokens that its queries and keys connect most strongly, read from the weights, and whether text agrees.
function byWeights({ query_key: found }) {
  if (!found) return "";
  const orders = [
    [found.pairs, "Over 1 to 16 tokens apart"],
    [found.at_offset, `${found.offset === 1 ? "1 token" : `${found.offset} tokens`} apart`],
  ];
  const tables = orders.filter(([pairs]) => pairs.length).map(([pairs, caption]) => {
    const most = Math.max(...pairs.map(([, , logit]) => Math.abs(logit)));
    const rows = pairs.map(([from, at, logit]) => make("tr", "", heading("row", textChip(from)), make("td", "", textChip(at)), barCell(logit, most)));
    return table("evidence", caption, ["From", "At", "Logit"], rows);
  });
  const r = `r ${format(found.agreement)}, by each pair's own distance ${format(found.agreement_at_offsets)}; random heads at most ${format(found.random_agreement)}`;
  const peak = `Mean logit of the strongest pairs ${format(found.peak)} standard deviations; random heads at most ${format(found.random_peak)}.`;
  const figures = [prose("p", "note", peak), prose("p", "note", `Agreement with attention on text: ${r}.`)];
  return make("div", "weights", make("h4", "", "By its weights"), prose("p", "", found.words), disclosure("Pairs of queries and keys", make("div", "", ...tables, ...figures)));
}

function textChip(text) {
  return appendMarked(make("span", "token"), text, HIDDEN_IN_TOKEN);
}

function contextLine([told, words, cut, query, shades]) {
  const line = make("p", "shaded");
  line.setAttribute("aria-hidden", "true"); // the same is said below in words
  words.forEach((word, i) => {
    if (i === cut) line.append(" … ");
    const token = appendVisible(make("span", i === query ? "query" : ""), word, HIDDEN_IN_TOKEN);
    token.style.setProperty("--share", shades[i]);
    line.append(token);
  });
  return make("li", "", line, prose("p", "told", told));
}

function inPrompts(head) {
  const [without, within] = head.inference.map((share) => `${(100 * share).toFixed(0)} %`);
  const shares = `${without} without context, ${within} with context`;
  return head.inference.length ? make("p", "message", `Salient mappings that it writes in prompts: ${shares}.`) : "";
}

function evidenceTable(head) {
  const rows = head.evidence.map(([kind, claim, count, looked, expected, effect, q, examples]) => {
    const numbers = [`${count} of ${looked}`, ...[expected, effect, q].map(format)];
    const about = [heading("row", prose("span", "", kind)), make("td", "", prose("span", "", claim))];
    const shown = make("td", "", prose("span", "", examples.join(", ")));
    return make("tr", "", ...about, ...numbers.map((text) => make("td", "measure", text)), shown);
  });
  const headings = ["About", "Claim", "Count", "Expected share", "Effect (h)", "q", "Examples"];
  return rows.length ? widePart("Evidence", table("evidence", "Above chance in its mappings", headings, rows)) : "";
}

function roleTable(head) {
  const chips = (tokens) => make("td", "", make("ol", "", ...tokens.map((token) => tokenChip(token, "li"))));
  const rows = head.roles.map(([number, sign, share, count, claims, sources, targets, verdict]) => {
    const does = [chips(sources), make("td", "", sign), chips(targets)];
    const told = [barCell(share, 1), make("td", "measure", `${count}`), make("td", "", verdict), make("td", "", prose("span", "", claims))];
    return make("tr", "", heading("row", `${number}`), ...does, ...told);
  });
  const headings = ["Role", "Of", "It", "Tokens", "Share of saliency", "Rows", "Verdict", "Evidence"];
  return rows.length ? widePart(`${rows.length} roles`, table("roles", "Groups of its rows that do one thing", headings, rows)) : "";
}

function readBy(head) {
  return head.reading ? make("p", "message", `Read by ${head.reading}.`) : "";
}

// What the head writes whatever it reads, apart from its rows.
function constantPart(head) {
  if (!head.constant) return "";
  const [share, up, down] = head.constant;
  const said = (words, all) => make("tr", "", heading("row", words), make("td", "", targetList(all, all[1] ?? 0)));
  const caption = `Whatever it reads (${(100 * share).toFixed(0)} % of what it writes)`;
  return table("rows constant", caption, ["It", "Tokens"], [said("promotes", up), said("suppresses", down)]);
}

function targetList(all, strongest) {
  const targets = make("ol");
  for (let j = 0; j < all.length; j += 2) targets.append(targetChip(all[j], all[j + 1], strongest));
  return targets;
}

function mappingTable(shown, className, caption, lastHeading, targetsOf, figure = "Saliency") {
  const most = Math.max(...shown.map((row) => row[1]));
  const extremes = shown.map((_, i) => targetsOf(i)[1] ?? 0);
  const strongest = extremes.reduce((a, b) => (Math.abs(a) > Math.abs(b) ? a : b), 0);
  const rows = shown.map((row, i) => {
    const source = heading("row", tokenChip(row[0]));
    return make("tr", "", source, barCell(row[1], most), make("td", "", targetList(targetsOf(i), strongest)));
  });
  return table(className, caption, ["Source token", figure, lastHeading], rows);
}

function rowTable(head) {
  const targetsOf = (i) => head.rows[i].slice(2);
  return mappingTable(head.rows, "rows", "Most salient tokens", "Promotes, highest logit first", targetsOf);
}

function suppressedTable(head) {
  if (!head.down.length) return "";
  const targetsOf = (i) => head.down[i];
  const drawn = mappingTable(head.rows, "down", "What the head suppresses", "Suppresses, lowest logit first", targetsOf);
  return disclosure("Suppressed", drawn);
}

// Rows by how far their strongest target stands out; on the side of what is suppressed where that stands out more.
function distinctTable(head) {
  const orders = [
    [head.distinct, "rows", "By distinctness", "Promotes, most outstanding first"],
    [head.suppressing, "down", "What it suppresses, by distinctness", "Suppresses, most outstanding first"],
  ];
  const drawn = ([shown, name, caption, last]) =>
    mappingTable(shown, name, caption, last, (i) => shown[i].slice(2), "Distinctness");
  const tables = orders.filter(([shown]) => shown.length).map(drawn);
  return tables.length ? make("section", "", ...tables) : "";
}

// The tint deepens with the logit, so that strong outputs stand out before any number is read.
function targetChip(token, logit, strongest) {
  const chip = tokenChip(token, "li");
  chip.dataset.tip = `logit ${format(logit)}, ${chip.dataset.tip}`;
  chip.style.setProperty("--share", strongest ? Math.max(0, logit / strongest) : 0);
  return chip;
}

// Settings in a line; what is nested in them is folded below it.
function settings(value) {
  const isPlain = (one) => one === null || typeof one !== "object";
  const said = (one) => ({ null: "–", true: "yes", false: "no" })[one] ?? String(one);
  if (isPlain(value)) return prose("span", "", said(value));
  const named = (key, one) => (Array.isArray(value) ? said(one) : `${spaced(key)} ${said(one)}`);
  const entries = Object.entries(value);
  const line = entries.filter(([, one]) => isPlain(one)).map(([key, one]) => named(key, one)).join(", ");
  const nested = entries.filter(([, one]) => !isPlain(one) && Object.keys(one).length);
  return make("div", "", prose("span", "", line), ...nested.map(([key, one]) => disclosure(spaced(key), settings(one))));
}

function provenance(head) {
  const list = make("dl", "nested");
  for (const [key, i] of Object.entries(head.provenance)) {
    list.append(prose("dt", "", spaced(key)), make("dd", "", settings(drawn.shared[i])));
  }
  return list.children.length ? disclosure("Provenance", list) : "";
}

// Rows that no describer sees: the app has them, a file leaves them out.
function heldOut(head) {
  if (!head.held_out) return "";
  const drawn = head.held_out.filter(([, rows]) => rows.length).map(([words, rows]) => {
    const shown = mappingTable(rows, "rows", words, "Promotes, highest logit first", (i) => rows[i].slice(2));
    return disclosure(`${words}, which no describer sees (${rows.length})`, shown);
  });
  return make("section", "", ...drawn);
}

// Heads that are alike, which only a catalogue knows; and what raters said.
function nearest(head) {
  if (!head.nearest) return "";
  const lists = head.nearest.filter(([, near]) => near.length).map(([words, near]) => {
    const items = near.map(({ model, address, name, similarity, shared, pattern }) => {
      const link = make("a", "", name);
      if (model) link.href = address;
      else linkTo(link, { head: name });
      const terms = shared.slice(0, 8).map((term) => textChip(term));
      const about = [` ${Math.round(100 * similarity)} % `, model ? prose("span", "note", `${model} `) : ""];
      return make("li", "", link, ...about, ...terms, pattern ? prose("span", "snippet", pattern) : "");
    });
    return make("section", "near", make("h3", "", words), make("ul", "", ...items));
  });
  return lists.length ? disclosure("Nearest heads", make("div", "", ...lists)) : "";
}
