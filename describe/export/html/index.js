// The index of a site: searches what the heads of all models do, in words. `text.js` comes before this.

const $ = (id) => document.getElementById(id);
const models = JSON.parse($("data").textContent);
const MAX_RESULTS = 200;
let query = null; // the search as a regular expression, null when there is none

function resultLink({ model, name, told }) {
  const link = make("a", "", prose("b", "", model.name), make("span", "", name));
  link.href = `${model.page}#${name}`;
  const start = Math.max(0, told.search(query) - 50);
  const [before, after] = [start ? "…" : "", start + 160 < told.length ? "…" : ""];
  link.append(prose("span", "snippet", before + told.slice(start, start + 160) + after));
  return make("li", "", link);
}

function search() {
  const text = $("search").value;
  query = text ? new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu") : null;
  const matches = [];
  for (const model of query ? models : []) {
    for (const [name, told] of model.heads) {
      if (told !== null && told.search(query) >= 0) matches.push({ model, name, told });
    }
  }
  $("results").hidden = query === null;
  const more = matches.length > MAX_RESULTS ? `, the first ${MAX_RESULTS} are listed` : "";
  $("count").textContent = `${formatCount(matches.length)} heads match${more}`;
  $("matches").replaceChildren(...matches.slice(0, MAX_RESULTS).map(resultLink));
}

let typingPause;
$("search").oninput = () => {
  clearTimeout(typingPause);
  typingPause = setTimeout(search, 120);
};
$("search-form").onsubmit = (event) => event.preventDefault();
document.onkeydown = (event) => {
  if (event.key === "/" && event.target.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
  } else if (event.key === "Escape") {
    $("search").value = "";
    search();
  }
};
performance.mark("ready");
