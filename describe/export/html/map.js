// The map of all heads: what it is coloured by, what its colours mean, and the grid itself.

const cells = []; // the grid's table cells, layer by layer
const placeOf = []; // of each cell the place of its head in lists, undefined where none was extracted
let selected = -1; // index of the cell whose head is open
let focused = -1; // index of the cell that the keyboard is at

// ---- Colours ----

// Logarithmic where positive values span decades, so that one large value hides no others.
function scaleOf(values, linear) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = !linear && low > 0 && high / low > 50;
  const at = log ? Math.log : (value) => value;
  const share = (value) => (high > low ? (at(value) - at(low)) / (at(high) - at(low)) : 1);
  return { low, high, log, share };
}

const hiddenKinds = new Set(); // kinds of headline that the legend has switched off
const isKind = (figure) => figure.label === "Kind of headline";
const isState = (figure) => figure.label === "Description state";

// A head's figure in words; of a head that has none, why.
function valueText(figure, place) {
  const value = figure.values[place];
  if (value === null) return lacking(figure, heads[place]);
  return figure.words.length ? figure.words[value] : format(value);
}

function lacking(figure, head) {
  return figure.of_descriptions && head.state !== "described" ? overview.states[head.state] : figure.lacking;
}

function paint(figure) {
  const scale = scaleOf(figure.values.filter((value) => value !== null), figure.linear);
  heads.forEach((head, place) => {
    const cell = cells[indexOf(head)];
    const value = figure.values[place];
    const plain = value !== null && !figure.words.length;
    cell.dataset.state = isState(figure) ? head.state : "";
    cell.dataset.kind = isKind(figure) ? head.kind : "";
    cell.dataset.word = isKind(figure) ? "" : figure.words.length && !isState(figure) && value !== null ? value : "";
    cell.classList.toggle("valued", plain);
    if (plain) cell.style.setProperty("--share", scale.share(value).toFixed(3));
    const shown = isState(figure) ? "" : `, ${figure.label}: ${valueText(figure, place)}`;
    const said = visible(`${head.said || overview.states[head.state]}${shown}`);
    cell.setAttribute("aria-label", `Head ${nameOf(indexOf(head))}, ${said}`);
  });
  $("legend").replaceChildren(...legendOf(figure, scale));
}

function legendOf(figure, scale) {
  const note = prose("p", "note", figure.note);
  if (isKind(figure)) return [note, kindLegend()];
  if (!figure.words.length) return [...figureLegend(figure, scale), ...greyLegend(figure)];
  const counts = figure.words.map((_, word) => figure.values.filter((value) => value === word).length);
  const items = figure.words.map((word, i) => {
    const item = prose("li", "", "");
    item.append(make("b", "", formatCount(counts[i])), ` ${word}`);
    if (isState(figure)) item.dataset.state = Object.keys(overview.states)[i];
    else item.dataset.word = i;
    item.hidden = counts[i] === 0;
    return item;
  });
  const missing = make("li", "", make("b", "", formatCount(cells.length - heads.length)), " not extracted");
  missing.dataset.state = "missing";
  missing.hidden = cells.length === heads.length;
  const list = make("ul", "states", ...items, missing);
  return isState(figure) ? [list] : [note, list, ...greyLegend(figure)];
}

// Each kind of headline is a switch: heads of kinds that are off are listed by no search, and veiled on the map.
function kindLegend() {
  const items = Object.entries(overview.kinds).map(([kind, words]) => {
    const count = heads.filter((head) => head.kind === kind).length;
    const name = ["supported", "said"].includes(kind) ? words : kind; // these two names say nothing by themselves
    const button = make("button", "", make("b", "", formatCount(count)), ` ${name}`);
    button.dataset.tip = words;
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
    for (const kind of off ? Object.keys(overview.kinds) : []) hiddenKinds.add(kind);
    $("legend").replaceChildren(...legendOf(figures[$("figure").value]));
    search();
  };
  return make("ul", "kinds", ...items, make("li", "", all));
}

// What grey cells are: heads that have no such figure, by the reason.
function greyLegend(figure) {
  const reasons = new Map();
  heads.forEach((head, place) => {
    if (figure.values[place] !== null) return;
    const reason = lacking(figure, head);
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  });
  if (!reasons.size) return [];
  const told = [...reasons].map(([reason, count]) => `${formatCount(count)} ${reason}`);
  const item = make("li", "", `Grey: ${told.join(", ")}`);
  item.dataset.state = "none";
  return [make("ul", "states", item)];
}

// The colour scale is a histogram: it says both what a colour means and how common it is.
function figureLegend(figure, scale) {
  const counts = new Array(32).fill(0);
  const values = figure.values.filter((value) => value !== null);
  for (const value of values) counts[Math.min(31, Math.floor(scale.share(value) * 32))] += 1;
  const bars = counts.map((count, i) => {
    const bar = make("i");
    bar.style.setProperty("--share", i / 31);
    bar.style.setProperty("--height", count / Math.max(...counts, 1));
    return bar;
  });
  const [low, high] = [scale.low, scale.high].map((end) => format(Number.isFinite(end) ? end : null));
  const note = prose("p", "note", `${figure.note}${scale.log ? " (logarithmic scale)" : ""}`);
  const histogram = make("div", "histogram", ...bars);
  histogram.setAttribute("role", "img");
  histogram.setAttribute("aria-label", `Histogram of ${formatCount(values.length)} heads, from ${low} to ${high}`);
  return [note, make("div", "scale", make("span", "", low), histogram, make("span", "", high))];
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
  heads.forEach((head, place) => (placeOf[indexOf(head)] = place));
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
  const cell = make("td", placeOf[index] === undefined ? "missing" : "");
  cell.setAttribute("aria-label", `Head ${nameOf(index)}, not extracted`);
  cell.setAttribute("aria-selected", "false");
  cell.tabIndex = -1;
  cells.push(cell);
  return cell;
}

function cellIndex(target) {
  const cell = target.closest?.("tbody td");
  return cell ? cell.parentElement.sectionRowIndex * model.n_heads + cell.cellIndex - 1 : -1;
}

function openCell(index) {
  if (index < 0) return;
  go({ head: nameOf(index) });
  headInSight("smooth");
}

// Where the head stands below the map, as on a phone.
function headInSight(behavior) {
  if (matchMedia("(max-width: 860px)").matches) $("head").scrollIntoView({ behavior });
}

// Arrows move over the map without opening what they pass; Enter and the space bar open.
function gridKeys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return openCell(focused);
  }
  const column = focused % model.n_heads;
  const row = Math.floor(focused / model.n_heads);
  const steps = {
    ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
    Home: [row, 0], End: [row, model.n_heads - 1], PageUp: [0, column], PageDown: [model.n_layers - 1, column],
  };
  if (!steps[event.key]) return;
  event.preventDefault();
  const [down, across] = steps[event.key];
  if (down < 0 || down >= model.n_layers || across < 0 || across >= model.n_heads) return;
  focusCell(down * model.n_heads + across);
  cells[focused].focus();
}

function focusCell(index) {
  if (cells[focused]) cells[focused].tabIndex = -1;
  cells[index].tabIndex = 0;
  focused = index;
}

function select(index) {
  for (const cell of [cells[selected], cells[index]].filter(Boolean)) {
    cell.setAttribute("aria-selected", String(cell === cells[index]));
  }
  selected = index;
  focusCell(index);
}

// Scrolls the grid alone: `scrollIntoView` would move the whole page as well.
function showCell() {
  const [box, cell] = [$("scroll"), cells[selected]].map((element) => element.getBoundingClientRect());
  const [down, across] = [cell.top - box.top - box.height / 2, cell.left - box.left - box.width / 2];
  if (cell.bottom > box.bottom || cell.top < box.top) $("scroll").scrollTop += down;
  if (cell.right > box.right || cell.left < box.left) $("scroll").scrollLeft += across;
}

// ---- What stands under the pointer or has the focus explains itself ----

function tipOf(target) {
  const index = cellIndex(target);
  if (index < 0) {
    const explained = target.closest?.("[data-tip]");
    return explained ? [explained, [explained.dataset.tip]] : null;
  }
  const place = placeOf[index];
  const figure = figures[$("figure").value];
  if (place === undefined) return [cells[index], [make("b", "", nameOf(index)), " not extracted"]];
  const value = ` ${figure.label}: ${valueText(figure, place)}`;
  const said = heads[place].said || overview.states[heads[place].state];
  return [cells[index], [make("b", "", nameOf(index)), visible(value), prose("p", "", said.slice(0, 200))]];
}

function showTip(event) {
  const found = event.type === "pointerover" && event.pointerType !== "mouse" ? null : tipOf(event.target);
  for (const one of document.querySelectorAll("[aria-describedby=tip]")) one.removeAttribute("aria-describedby");
  $("tip").hidden = found === null;
  if (found === null) return;
  const [element, content] = found;
  $("tip").replaceChildren(...content);
  if (event.type === "focusin") element.setAttribute("aria-describedby", "tip");
  const box = element.getBoundingClientRect();
  $("tip").style.left = `${Math.max(8, Math.min(box.right + 8, innerWidth - $("tip").offsetWidth - 8))}px`;
  $("tip").style.top = `${Math.max(8, Math.min(box.bottom + 6, innerHeight - $("tip").offsetHeight - 8))}px`;
}
