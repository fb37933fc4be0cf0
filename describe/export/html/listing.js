// Which heads are listed, and in which order: those that match the search and the filter, by place or by the figure
// that the grid is coloured by.

function matchOf(head, hits, text) {
  const told = head.descriptions.flatMap(({ pattern, inputs, failure }) => [pattern, inputs, failure]);
  const texts = head.card?.[2] ? [head.card[0], ...told] : told;
  const shown = texts.find((candidate) => candidate !== null && (!query || candidate.search(query) >= 0));
  const found = new Set();
  for (const row of query ? rowsOf(head) : []) {
    for (let i = 0; i < row.length; i += 2) if (hits[row[i]]) found.add(row[i]);
  }
  const matches = !query || shown || found.size || nameOf(indexOf(head)) === text;
  return matches ? { head, index: indexOf(head), snippet: shown, found: [...found] } : null;
}

function resultLink({ head, index, snippet, found }, figure) {
  const link = make("a", "", make("b", "", nameOf(index)));
  link.href = `#${nameOf(index)}`;
  if (figure) link.append(make("span", "value", format(figure.value(head))));
  if (snippet) {
    const start = query ? Math.max(0, snippet.search(query) - 50) : 0;
    const [before, after] = [start ? "…" : "", start + 160 < snippet.length ? "…" : ""];
    link.append(prose("span", "snippet", before + snippet.slice(start, start + 160) + after));
  }
  link.append(...found.slice(0, snippet ? 4 : 8).map((token) => tokenChip(token)));
  return make("li", "", link);
}

// The filter's choices; a figure of values can be asked for at least so much, and order the list.
function chosenFilter() {
  const figure = figures[$("figure").value];
  $("least").disabled = $("order").disabled = !figure.value;
  const least = figure.value ? $("least").valueAsNumber : NaN;
  const order = figure.value ? $("order").value : "";
  return { figure: figure.value ? figure : null, state: $("state").value, least, order };
}

function passes(head, { figure, state, least }) {
  if (state && head.state !== state) return false;
  if (hiddenKinds.has(head.card?.[1])) return false;
  if (Number.isNaN(least)) return true;
  const value = figure.value(head);
  return value !== null && value >= least;
}

// Heads without a value come last, whichever way the others go.
function inOrder(matches, { figure, order }) {
  if (!order) return matches;
  const sign = order === "down" ? -1 : 1;
  const at = ({ head }) => sign * (figure.value(head) ?? sign * Number.MAX_VALUE);
  return matches.slice().sort((a, b) => at(a) - at(b) || a.index - b.index);
}

function search() {
  const text = $("search").value;
  const filter = chosenFilter();
  query = text ? new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu") : null;
  const hits = query ? tokens.map((token) => token.search(query) >= 0) : []; // each token is tested once
  const narrowed = query !== null || filter.state !== "" || !Number.isNaN(filter.least) || hiddenKinds.size > 0;
  const passing = narrowed || filter.order ? heads.filter((head) => passes(head, filter)) : [];
  const matches = inOrder(passing.map((head) => matchOf(head, hits, text)).filter(Boolean), filter);
  const matched = new Set(matches.map(({ index }) => index));
  cells.forEach((cell, i) => cell.classList.toggle("match", matched.has(i)));
  $("grid").classList.toggle("searching", narrowed);
  $("results").hidden = !narrowed && !filter.order;
  const more = matches.length > MAX_RESULTS ? `, the first ${MAX_RESULTS} are listed` : "";
  const [found, all] = [matches, heads].map(({ length }) => formatCount(length));
  $("count").textContent = narrowed ? `${found} of ${all} heads match${more}` : `${all} heads${more}`;
  const shown = filter.order || !Number.isNaN(filter.least) ? filter.figure : null;
  $("matches").replaceChildren(...matches.slice(0, MAX_RESULTS).map((match) => resultLink(match, shown)));
  showHead();
}

function searchKeys(event) {
  const typing = /^(INPUT|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
  } else if (event.key === "Escape") {
    hiddenKinds.clear();
    if (figures[$("figure").value].named) paint(figures[$("figure").value]);
    $("search").value = $("state").value = $("least").value = $("order").value = "";
    search();
  }
}
