// The page's view and its address: everything that is chosen stands there, so that a link or one step back restores it.
// The other scripts come before this in the same script element.

const figures = overview.figures;
figures.forEach(({ label }, i) => $("figure").append(new Option(visible(label), i)));
overview.describers.forEach((llm, i) => $("by").append(new Option(visible(llm), i)));

const BLANK = { head: "", colour: "", q: "", state: "", by: "", least: "", order: "" };
let painted = -1; // the figure that the map is coloured by
let view = null; // what is shown now; see BLANK

// In the app the parts of a view are parameters of the address; in a file they follow the head's name after the #.
function viewOf(address) {
  const [, name, rest] = address.hash.match(/^#([^&=]*)&?(.*)$/) ?? [];
  const given = new URLSearchParams(served ? address.search : rest);
  const read = Object.fromEntries(Object.keys(BLANK).map((key) => [key, given.get(key) ?? ""]));
  return served ? read : { ...read, head: name ?? "" };
}

function addressOf(wanted) {
  const { head, ...rest } = wanted;
  const chosen = Object.entries(rest).filter(([, value]) => value !== "");
  if (!served) return `#${head}${chosen.length ? `&${new URLSearchParams(chosen)}` : ""}`;
  const given = [["model", overview.model.address], ...(head ? [["head", head]] : []), ...chosen];
  return `${head ? "head" : "./"}?${new URLSearchParams(given)}`;
}

// Shows another view. `how` "push" makes it a step that one can go back from; "replace" does not.
function go(changes, how = "push") {
  const wanted = { ...view, ...changes };
  const address = addressOf(wanted);
  if (how === "push" && address !== addressOf(view)) {
    history.replaceState({ scroll: scrollY, list: $("matches").scrollTop }, "");
    history.pushState(null, "", address);
  } else {
    history.replaceState(history.state, "", address);
  }
  return show(wanted);
}

function linkTo(link, changes) {
  link.href = addressOf({ ...(view ?? BLANK), ...changes });
  link.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(changes);
  };
  return link;
}

// An explanation that shows under the pointer and with the focus.
function explain(element, words) {
  element.dataset.tip = words;
  element.tabIndex = 0;
  return element;
}

function indexNamed(name) {
  const [, layer, head] = name.match(/^(\d{1,6})\.(\d{1,6})$/) ?? [];
  if (layer < model.n_layers && head < model.n_heads) return indexOf({ layer: Number(layer), head: Number(head) });
  return overview.first === null ? 0 : indexOf(heads[overview.first]);
}

async function show(wanted) {
  const before = view;
  view = wanted;
  const chosen = Math.max(0, figures.findIndex(({ label }) => label === wanted.colour));
  const repaint = chosen !== painted;
  $("figure").value = chosen;
  for (const [id, value] of [["search", wanted.q], ["state", wanted.state], ["by", wanted.by], ["least", wanted.least], ["order", wanted.order]]) {
    if ($(id).value !== value) $(id).value = value;
  }
  if (repaint) paint(figures[(painted = chosen)]);
  const index = indexNamed(wanted.head);
  const opened = index !== selected;
  if (opened) select(index);
  document.title = titleOf(wanted);
  const listed = ["q", "state", "by", "least", "order"].some((key) => before?.[key] !== wanted[key]);
  await (listed || repaint ? search() : showHead());
  if (opened) showCell();
}

function titleOf({ head, q }) {
  const about = head ? `Head ${nameOf(selected)} · ` : q ? `“${q}” · ` : "";
  return visible(`${about}${model.name} · headscribe`);
}

// What the controls say, as a view.
function chosenView() {
  const colour = Number($("figure").value) ? figures[$("figure").value].label : "";
  const [q, state, by, least, order] = ["search", "state", "by", "least", "order"].map((id) => $(id).value);
  return { colour, q, state, by, least, order };
}

$("figure").onchange = $("state").onchange = $("by").onchange = $("least").oninput = $("order").onchange = () =>
  go(chosenView(), "replace");
let typingPause;
$("search").oninput = () => {
  clearTimeout(typingPause);
  typingPause = setTimeout(() => go(chosenView(), "replace"), 120);
};
$("search-form").onsubmit = (event) => {
  event.preventDefault();
  clearTimeout(typingPause);
  go(chosenView(), "replace").then(openFirst);
};
$("grid").onclick = (event) => openCell(cellIndex(event.target));
$("grid").onkeydown = gridKeys;
$("results").onkeydown = listKeys;
document.addEventListener("pointerover", showTip);
document.addEventListener("focusin", showTip);
document.onkeydown = searchKeys;
history.scrollRestoration = "manual";
window.onpopstate = ({ state }) =>
  show(viewOf(location)).then(() => {
    $("matches").scrollTop = state?.list ?? 0;
    scrollTo(0, state?.scroll ?? 0);
  });
buildGrid();
$("operations").replaceChildren(...operationsOverview());
show(viewOf(location)).then(() => {
  $("matches").scrollTop = history.state?.list ?? 0;
  if (history.state?.scroll) scrollTo(0, history.state.scroll);
  else if (viewOf(location).head) headInSight("instant"); // who opens a link to a head
});
window.onpagehide = () => history.replaceState({ scroll: scrollY, list: $("matches").scrollTop }, "");
performance.mark("ready");
