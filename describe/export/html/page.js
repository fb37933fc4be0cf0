// The page's data and state, and the grid of all heads. The other scripts come before this in the same script element.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
// From this score on a head implements an operation, or suppresses it: `threshold`.
const { model, threshold, heads, tokens, token_ids: tokenIds, shared, states: STATES, kinds: KINDS, figures: headFigures, parts, attends } = data;
const hiddenKinds = new Set(); // kinds of headline that the legend has switched off
const MAX_RESULTS = 200;
const MEASURES = {
  detection: "How well a judge tells rows of the head that nobody has seen from others' by the description (AUROC, 0.5: by chance)",
  likelihood: "Bits that the description saves of each row that nobody has seen",
  write: "How well the head does with new words what the description says (AUROC, 0.5: by chance)",
  relation: "How well a judge tells which targets belong to which input by the description (AUROC, 0.5: by chance)",
  masked: "Detection without the tokens that the description names (AUROC, 0.5: by chance)",
  inputs: "Detection by what is said of the inputs alone (AUROC, 0.5: by chance)",
  attention: "How often a judge names the token that the head looks at, of five, by the description (0.2: by chance)",
  stability: "How far descriptions made again agree",
};
const JUDGED_BY = { write: "words", attention: "contexts" }; // the others by rows

const cells = []; // the grid's table cells, layer by layer
const headAt = []; // the head of each cell, undefined where none was extracted
let selected = -1; // index of the selected cell
let query = null; // the search as a regular expression, null when there is none

const indexOf = (head) => head.layer * model.n_heads + head.head;
const nameOf = (index) => `${Math.floor(index / model.n_heads)}.${index % model.n_heads}`;

// ---- Figures: what the grid can be coloured by, and the list ordered ----

// The best of a head's descriptions by each measure and judge. What a wrong description gets stands beside it.
function scoreFigures() {
  const all = heads.flatMap((head) => head.descriptions.flatMap(({ scores }) => scores));
  const kinds = new Map(all.map(([measure, judge]) => [`${measure} ${judge}`, [measure, judge]]));
  return [...kinds.values()].map(([measure, judge]) => {
    const mine = (scores) => scores.filter((score) => score[0] === measure && score[1] === judge);
    const valued = (head) => head.descriptions.flatMap(({ scores }) => mine(scores)).map((score) => score[2]).filter((v) => v !== null);
    const wrong = mine(all).map((score) => score[5]).filter((value) => value !== null);
    const mean = wrong.reduce((sum, value) => sum + value, 0) / wrong.length;
    const level = wrong.length ? `wrong descriptions get ${format(mean)} on average` : "wrong descriptions were not tried";
    const value = (head) => (valued(head).length ? Math.max(...valued(head)) : null);
    return { label: `Score: ${measure} by ${visible(shared[judge])}`, note: `${MEASURES[measure]}; ${level}`, value, linear: true };
  });
}

function listFigures() {
  const kind = { label: "Kind of headline", named: true };
  const state = { label: "Description state" };
  const figures = headFigures.map(([label, note], i) => {
    return { label, note, value: (head) => head.figures[i] };
  });
  for (const [i, label] of heads.some((head) => head.attention) ? attends.entries() : []) {
    const value = (head) => head.attention?.values[i] ?? null;
    figures.push({ label, note: `${label}, on text`, value, linear: true });
  }
  for (const [i, label] of heads.some((head) => head.figure) ? parts.entries() : []) {
    const note = "What random heads show at most stands beside each head that shows more";
    figures.push({ label, note, value: (head) => head.figure?.[i + 1] ?? null, linear: true });
  }
  const operations = [...new Set(heads.flatMap((head) => Object.keys(head.relations)))].sort();
  const kinds = [["Operation", "Share of pairs whose target is among the head's highest"],
    ["Suppressed", "Share of pairs whose target is among the head's lowest"]];
  for (const [i, [kind, note]] of kinds.entries()) {
    for (const operation of operations) {
      const value = (head) => head.relations[operation]?.[i] ?? null;
      figures.push({ label: `${kind}: ${visible(operation)}`, note, value, linear: true });
    }
  }
  if (operations.length) {
    const value = (head) => Object.values(head.relations).filter(([score]) => score >= threshold).length;
    figures.push({ label: "Operations implemented", note: `Operations with a score of ${threshold} or more`, value, linear: true });
  }
  const described = heads.some((head) => head.descriptions.length);
  const known = heads.some(({ card }) => card && card[2]);
  const named = described ? [state, ...scoreFigures(), ...figures] : [...figures, state];
  return known ? [kind, ...named] : named;
}

// Logarithmic where positive values span decades, so that one large value hides no others.
function scaleOf(values, linear) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = !linear && low > 0 && high / low > 50;
  const at = log ? Math.log : (value) => value;
  const share = (value) => (high > low ? (at(value) - at(low)) / (at(high) - at(low)) : 1);
  return { low, high, log, share };
}

function paint(figure) {
  const values = heads.map((head) => figure.value?.(head) ?? null);
  const scale = scaleOf(values.filter((value) => value !== null), figure.linear);
  heads.forEach((head, i) => {
    const cell = cells[indexOf(head)];
    cell.dataset.state = figure.value || figure.named ? "" : head.state;
    cell.dataset.kind = figure.named ? (head.card?.[1] ?? "") : "";
    cell.classList.toggle("valued", values[i] !== null);
    if (values[i] !== null) cell.style.setProperty("--share", scale.share(values[i]).toFixed(3));
  });
  $("legend").replaceChildren(...(figure.value ? figureLegend(figure, values, scale) : [figure.named ? kindLegend() : stateLegend()]));
}

function stateLegend() {
  const items = [...Object.keys(STATES), "missing"].map((state) => {
    const missing = state === "missing";
    const count = missing ? cells.length - heads.length : heads.filter((head) => head.state === state).length;
    const label = missing ? "not extracted" : STATES[state];
    const item = make("li", "", make("b", "", formatCount(count)), ` ${label}`);
    item.dataset.state = state;
    item.hidden = count === 0;
    return item;
  });
  return make("ul", "states", ...items);
}

// Each kind of headline is a switch: heads of kinds that are off are listed by no search, and veiled on the map.
function kindLegend() {
  const items = Object.entries(KINDS).map(([kind, words]) => {
    const count = heads.filter(({ card }) => card?.[1] === kind).length;
    const button = make("button", "", make("b", "", formatCount(count)), ` ${kind}`);
    button.title = words;
    button.type = "button";
    button.setAttribute("aria-pressed", String(!hiddenKinds.has(kind)));
    button.onclick = () => {
      hiddenKinds.delete(kind) || hiddenKinds.add(kind);
      button.setAttribute("aria-pressed", String(!hiddenKinds.has(kind)));
      search();
    };
    const item = make("li", "", button);
    item.dataset.kind = kind;
    item.hidden = count === 0;
    return item;
  });
  const all = make("button", "", "all / none");
  all.type = "button";
  all.onclick = () => {
    const off = !hiddenKinds.size;
    hiddenKinds.clear();
    for (const kind of off ? Object.keys(KINDS) : []) hiddenKinds.add(kind);
    $("legend").replaceChildren(kindLegend());
    search();
  };
  return make("ul", "kinds", ...items, make("li", "", all));
}

// The colour scale is a histogram: it says both what a colour means and how common it is.
function figureLegend(figure, values, scale) {
  const counts = new Array(32).fill(0);
  for (const value of values.filter((value) => value !== null)) {
    counts[Math.min(31, Math.floor(scale.share(value) * 32))] += 1;
  }
  const bars = counts.map((count, i) => {
    const bar = make("i");
    bar.style.setProperty("--share", i / 31);
    bar.style.setProperty("--height", count / Math.max(...counts, 1));
    return bar;
  });
  const [low, high] = [scale.low, scale.high].map((end) => format(Number.isFinite(end) ? end : null));
  const note = `${figure.note}${scale.log ? " (logarithmic scale)" : ""}`;
  const histogram = make("div", "histogram", ...bars);
  const ends = [make("span", "", low), make("span", "", high)];
  return [make("p", "note", note), make("div", "scale", ends[0], histogram, ends[1])];
}

// ---- The grid ----

function axisLabel(i, count, scope) {
  const step = count <= 16 ? 1 : count <= 40 ? 5 : 10;
  const label = make("th", "", make("span", i % step ? "unlabelled" : "", String(i)));
  label.scope = scope;
  return label;
}

function buildGrid() {
  const { n_layers: layers, n_heads: columns } = model;
  document.body.style.setProperty("--layers", layers);
  document.body.style.setProperty("--heads", columns);
  for (const head of heads) headAt[indexOf(head)] = head;
  const top = make("tr", "", make("td", "corner"));
  for (let i = 0; i < columns; i++) top.append(axisLabel(i, columns, "col"));
  const body = make("tbody");
  for (let layer = 0; layer < layers; layer++) {
    const row = make("tr", "", axisLabel(layer, layers, "row"));
    for (let i = 0; i < columns; i++) row.append(buildCell(layer * columns + i));
    body.append(row);
  }
  $("grid").append(make("thead", "", top), body);
}

function buildCell(index) {
  const cell = make("td", headAt[index] ? "" : "missing");
  const state = headAt[index] ? (headAt[index].card?.[0] ?? STATES[headAt[index].state]) : "not extracted";
  cell.setAttribute("aria-label", `Head ${nameOf(index)}, ${state}`);
  cell.setAttribute("aria-selected", "false");
  cell.tabIndex = -1;
  cells.push(cell);
  return cell;
}

function cellIndex(target) {
  const cell = target.closest("tbody td");
  return cell ? cell.parentElement.sectionRowIndex * model.n_heads + cell.cellIndex - 1 : -1;
}

function chooseCell(event) {
  const index = cellIndex(event.target);
  if (index < 0) return;
  location.hash = nameOf(index);
  if (matchMedia("(max-width: 860px)").matches) $("head").scrollIntoView({ behavior: "smooth" });
}

function moveSelection(event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (!steps[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const row = Math.floor(selected / model.n_heads) + steps[event.key][0];
  const column = (selected % model.n_heads) + steps[event.key][1];
  if (row < 0 || row >= model.n_layers || column < 0 || column >= model.n_heads) return;
  // Replacing the history entry makes the way back one step, not one for every key pressed.
  history.replaceState(null, "", `#${row}.${column}`);
  select(row * model.n_heads + column);
  cells[selected].focus();
}

function showTip(event) {
  const index = event.pointerType === "mouse" ? cellIndex(event.target) : -1;
  $("tip").hidden = index < 0;
  if (index < 0) return;
  const head = headAt[index];
  const description = head?.descriptions.find((d) => d.state === "described" && d.pattern !== null);
  const said = head?.card?.[2] ? head.card[0] : description?.pattern;
  const text = said?.slice(0, 140) ?? STATES[head?.state] ?? "not extracted";
  const figure = figures[$("figure").value];
  const value = head && figure.value ? ` ${figure.label}: ${format(figure.value(head))}` : "";
  $("tip").replaceChildren(make("b", "", nameOf(index)), value, prose("p", "", text));
  const box = event.target.getBoundingClientRect();
  $("tip").style.left = `${Math.min(box.right + 8, innerWidth - $("tip").offsetWidth - 8)}px`;
  $("tip").style.top = `${Math.min(box.bottom + 6, innerHeight - $("tip").offsetHeight - 8)}px`;
}

function select(index) {
  for (const cell of [cells[selected], cells[index]].filter(Boolean)) {
    cell.setAttribute("aria-selected", String(cell === cells[index]));
    cell.tabIndex = cell === cells[index] ? 0 : -1;
  }
  selected = index;
  showHead();
}

// ---- Start ----

// The fragment names the selected head, so that a link to a head stays a link to it.
function selectFromFragment() {
  const [, layer, head] = location.hash.match(/^#(\d{1,6})\.(\d{1,6})$/) ?? [];
  const most = heads.reduce((best, head) => (head.card?.[2] && head.card[4] < (best?.card[4] ?? Infinity) ? head : best), null);
  const described = heads.find(({ state }) => state === "described");
  const first = most ?? described ?? heads[0] ?? { layer: 0, head: 0 };
  const named = layer < model.n_layers && head < model.n_heads;
  select(indexOf(named ? { layer: Number(layer), head: Number(head) } : first));
  showCell();
}

// Scrolls the grid alone: `scrollIntoView` would move the whole page as well.
function showCell() {
  const [box, cell] = [$("scroll"), cells[selected]].map((element) => element.getBoundingClientRect());
  const [down, across] = [cell.top - box.top - box.height / 2, cell.left - box.left - box.width / 2];
  if (cell.bottom > box.bottom || cell.top < box.top) $("scroll").scrollTop += down;
  if (cell.right > box.right || cell.left < box.left) $("scroll").scrollLeft += across;
}

const figures = listFigures();
figures.forEach(({ label }, i) => $("figure").append(new Option(label, i)));
$("figure").onchange = () => {
  paint(figures[$("figure").value]);
  search();
};
$("state").onchange = $("least").oninput = $("order").onchange = search;
let typingPause;
$("search").oninput = () => {
  clearTimeout(typingPause);
  typingPause = setTimeout(search, 120);
};
$("search-form").onsubmit = (event) => event.preventDefault();
$("grid").onclick = chooseCell;
$("grid").onkeydown = moveSelection;
$("grid").onpointerover = showTip;
$("grid").onpointerleave = showTip;
document.onkeydown = searchKeys;
window.onhashchange = selectFromFragment;
buildGrid();
paint(figures[0]);
chosenFilter();
$("operations").replaceChildren(...operationsOverview());
selectFromFragment();
performance.mark("ready");
