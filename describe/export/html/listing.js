// Which heads are listed, and in which order: those that match the search and the filter, by place or by the figure
// that the grid is coloured by.

const NONE_FOUND = { places: [], matches: [] };

function resultLink({ place, texts, found }, figure) {
  const name = nameOf(indexOf(heads[place]));
  const link = linkTo(make("a", "", make("b", "", name)), { head: name });
  if (figure) link.append(make("span", "value", visible(valueText(figure, place))));
  const candidates = [heads[place].said, ...(texts ?? [])].filter(Boolean);
  const snippet = candidates.find((text) => query && text.search(query) >= 0) ?? candidates[0];
  if (snippet) {
    const start = query ? Math.max(0, snippet.search(query) - 50) : 0;
    const [before, after] = [start ? "…" : "", start + 160 < snippet.length ? "…" : ""];
    link.append(prose("span", "snippet", before + snippet.slice(start, start + 160) + after));
  }
  const terms = (found ?? []).slice(0, snippet ? 4 : 8);
  link.append(...terms.map((term) => textChip(term)));
  return make("li", "", link);
}

// What the words lead to besides heads that they are found in: a head by its place, and figures by their name.
function jumps(text) {
  const [, layer, head] = text.trim().match(/^(\d{1,6})\.(\d{1,6})$/) ?? [];
  const name = layer === undefined || layer >= model.n_layers || head >= model.n_heads ? null : `${Number(layer)}.${Number(head)}`;
  const links = name ? [linkTo(make("a", "", make("b", "", name), " Go to this head"), { head: name })] : [];
  const words = text.trim().length > 1 ? folded(text).split(/\s+/u).filter(Boolean) : [];
  const named = words.length ? figures.filter(({ label }) => words.every((word) => folded(label).includes(word))) : [];
  for (const { label } of named.slice(0, 5)) {
    links.push(linkTo(make("a", "", make("b", "", "Map"), prose("span", "", ` Colour by ${label}`)), { colour: label }));
  }
  return links.map((link) => make("li", "", link));
}

// The filter's choices; a figure of values can be asked for at least so much, and order the list.
function chosenFilter() {
  const figure = figures[$("figure").value];
  const numbers = !figure.words.length;
  $("least").disabled = $("order").disabled = !numbers;
  const least = numbers ? $("least").valueAsNumber : NaN;
  const order = numbers ? $("order").value : "";
  return { figure: numbers ? figure : null, state: $("state").value, by: $("by").value, least, order };
}

function passes(place, { figure, state, by, least }) {
  const head = heads[place];
  if (state && head.state !== state) return false;
  if (hiddenKinds.has(head.kind)) return false;
  if (by && !head.describers.includes(Number(by))) return false;
  if (Number.isNaN(least)) return true;
  const value = figure.values[place];
  return value !== null && value >= least;
}

// Heads without a value come last, whichever way the others go.
function inOrder(places, { figure, order }) {
  if (!order) return places;
  const sign = order === "down" ? -1 : 1;
  const at = (place) => sign * (figure.values[place] ?? sign * Number.MAX_VALUE);
  return places.slice().sort((a, b) => at(a) - at(b) || a - b);
}

let searches = 0; // one that ends after a later one began is too late

async function search() {
  const text = $("search").value;
  const filter = chosenFilter();
  const number = ++searches;
  const asked = queryTerms(text);
  const searched = asked.length ? await parts.search(text).catch(() => NONE_FOUND) : null;
  if (number !== searches) return;
  query = markExpression(asked);
  const narrowed = searched !== null || filter.state !== "" || filter.by !== "" || !Number.isNaN(filter.least) || hiddenKinds.size > 0;
  const all = searched?.places ?? [...heads.keys()];
  const places = narrowed || filter.order ? inOrder(all.filter((place) => passes(place, filter)), filter) : [];
  const matched = new Set(places.map((place) => indexOf(heads[place])));
  cells.forEach((cell, i) => cell.classList.toggle("match", matched.has(i)));
  $("grid").classList.toggle("searching", narrowed);
  $("results").hidden = !narrowed && !filter.order;
  const more = places.length > MAX_RESULTS ? `, the first ${MAX_RESULTS} are listed` : "";
  const [found, every] = [places, heads].map(({ length }) => formatCount(length));
  $("count").textContent = narrowed ? `${found} of ${every} heads match${more}` : `${every} heads${more}`;
  const shown = filter.order || !Number.isNaN(filter.least) ? filter.figure : null;
  const told = new Map(searched?.matches.map((match) => [match.place, match]));
  const links = places.slice(0, MAX_RESULTS).map((place) => resultLink(told.get(place) ?? { place }, shown));
  $("jumps").replaceChildren(...(asked.length ? jumps(text) : []));
  $("matches").replaceChildren(...links);
  if (selected >= 0) await showHead();
}

// Enter opens the first of what is listed.
async function openFirst() {
  await search();
  const first = $("results").querySelector("#jumps a, #matches a");
  if (first && !$("results").hidden) first.click();
}

// Arrows move over the list; links open by Enter as they do everywhere.
function listKeys(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const links = [...$("results").querySelectorAll("a")];
  const next = links[links.indexOf(document.activeElement) + step];
  (next ?? (step < 0 ? $("search") : document.activeElement)).focus();
}

function searchKeys(event) {
  const typing = /^(INPUT|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
    $("search").select(); // so that what is typed next takes the place of an earlier search
  } else if (event.key === "Escape") {
    $("tip").hidden = true;
    if (hiddenKinds.size) {
      hiddenKinds.clear();
      paint(figures[$("figure").value]);
      search();
    }
    go({ q: "", state: "", by: "", least: "", order: "" }, "replace");
  } else if (event.key === "ArrowDown" && event.target === $("search")) {
    event.preventDefault();
    $("results").querySelector("a")?.focus();
  }
}
