// The index of models: searches all their heads by words. The shared scripts come before this.

const served = document.body.dataset.parts;
const models = served ? null : readModels();

// The models of a site, each with its heads and what these are found by.
async function readModels() {
  const element = $("data");
  if (!element.dataset.packed) return JSON.parse(element.textContent);
  return JSON.parse(await unpacked(element.textContent));
}

async function embeddedSearch(text) {
  const matches = [];
  for (const one of await models) {
    for (const { place, rank, found } of findHeads(one.words, queryTerms(text))) {
      const [layer, head, said, pattern] = one.heads[place];
      const name = `${layer}.${head}`;
      matches.push({ model: one.name, name, address: `${one.page}#${name}`, rank, said, texts: [pattern], found });
    }
  }
  return { matches: matches.sort((a, b) => b.rank - a.rank), total: matches.length };
}

async function servedSearch(text) {
  const answer = await fetch(`${served}search?${new URLSearchParams({ q: text })}`);
  if (answer.status === 403) location.reload(); // signed out meanwhile
  return answer.json();
}

function resultLink({ model, name, address, said: line, texts, found }) {
  const said = [line, ...texts].find((text) => text && text.search(query) >= 0) ?? line;
  const link = make("a", "", prose("b", "", model), make("span", "", name));
  link.href = address;
  if (said) {
    const start = Math.max(0, said.search(query) - 50);
    const [before, after] = [start ? "…" : "", start + 160 < said.length ? "…" : ""];
    link.append(prose("span", "snippet", before + said.slice(start, start + 160) + after));
  }
  link.append(...found.slice(0, 4).map((term) => appendMarked(make("span", "token"), term, HIDDEN_IN_TOKEN)));
  return make("li", "", link);
}

// The search stands in the address: after the # in a file, as a parameter in the app.
function queryOf(address) {
  return new URLSearchParams(served ? address.search : address.hash.slice(1)).get("q") ?? "";
}

let searches = 0; // one that ends after a later one began is too late

async function search() {
  const text = $("search").value;
  const number = ++searches;
  const asked = queryTerms(text);
  const { matches, total } = asked.length ? await (served ? servedSearch : embeddedSearch)(text) : { matches: [], total: 0 };
  if (number !== searches) return;
  query = markExpression(asked);
  $("results").hidden = query === null;
  const more = total > MAX_RESULTS ? `, the first ${MAX_RESULTS} are listed` : "";
  $("count").textContent = `${formatCount(total)} heads match${more}`;
  $("matches").replaceChildren(...matches.slice(0, MAX_RESULTS).map(resultLink));
  document.title = text ? visible(`“${text}” · headscribe`) : TITLE;
}

const TITLE = document.title;
let typingPause;
function typed() {
  clearTimeout(typingPause);
  const asked = $("search").value ? new URLSearchParams({ q: $("search").value }) : "";
  history.replaceState(null, "", served ? `./${asked && `?${asked}`}` : `#${asked}`);
  return search();
}
$("search").oninput = () => {
  clearTimeout(typingPause);
  typingPause = setTimeout(typed, 120);
};
$("search-form").onsubmit = async (event) => {
  event.preventDefault();
  await typed();
  $("matches").querySelector("a")?.click();
};
document.onkeydown = (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "/" && event.target.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
    $("search").select(); // so that what is typed next takes the place of an earlier search
  } else if (event.key === "Escape") {
    $("search").value = "";
    typed();
  } else if (step && !event.altKey && (event.target === $("search") || event.target.closest("#matches"))) {
    event.preventDefault();
    const links = [...$("matches").querySelectorAll("a")];
    (links[links.indexOf(document.activeElement) + step] ?? $("search")).focus();
  }
};
$("search").value = queryOf(location);
search();
window.onpopstate = () => {
  $("search").value = queryOf(location);
  search();
};
performance.mark("ready");
