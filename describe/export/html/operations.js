// The operations of the whole model: which heads implement each, and in which layers each category lies.

const operationNames = Object.keys(overview.categories).sort();
const scoresOf = new Map(operationNames.map((name) => {
  const label = `Operation: ${spaced(name)}`;
  return [name, overview.figures.find((figure) => figure.label === label)?.values ?? []];
}));

function operationsOverview() {
  if (!operationNames.length) return [];
  const rows = operationNames.map(operationRow);
  const list = table("operations", "Heads that implement each operation", ["Operation", "Heads", "Strongest"], rows);
  const shares = [...new Set(Object.values(overview.categories))].sort().map(categoryShare);
  const about = make("p", "note", "Share of a layer's heads that implement an operation of the category, layer 0 at the left.");
  const folded = disclosure("Operations of the model", make("div", "", list, make("h3", "", "Categories by layer"), about, ...shares));
  folded.open = !matchMedia("(max-width: 860px)").matches; // on a phone it would stand between the map and the head
  return [folded];
}

function operationRow(operation) {
  const scored = scoresOf.get(operation).map((score, place) => [place, score ?? 0]).sort((a, b) => b[1] - a[1]);
  const strongest = make("td");
  for (const [place, score] of scored.slice(0, 3).filter(([, score]) => score > 0)) {
    const name = nameOf(indexOf(heads[place]));
    const link = linkTo(make("a", "", name), { head: name });
    strongest.append(make("span", "scored", link, ` ${score.toFixed(2)}`));
  }
  const count = scored.filter(([, score]) => score >= overview.threshold).length;
  const label = linkTo(prose("a", "", spaced(operation)), { colour: `Operation: ${spaced(operation)}` });
  return make("tr", "", heading("row", label), make("td", "", formatCount(count)), strongest);
}

// A bar per layer: the share of its heads that implement any operation of the category.
function categoryShare(category) {
  const members = operationNames.filter((name) => overview.categories[name] === category);
  const counts = Array.from({ length: model.n_layers }, () => 0);
  heads.forEach((head, place) => {
    if (members.some((name) => (scoresOf.get(name)[place] ?? 0) >= overview.threshold)) counts[head.layer] += 1;
  });
  const shares = counts.map((count) => count / model.n_heads);
  const bars = shares.map((share, layer) => {
    const bar = make("i");
    bar.style.setProperty("--share", 0.8);
    bar.style.setProperty("--height", share);
    bar.dataset.tip = `layer ${layer}: ${Math.round(share * 100)} %`;
    return bar;
  });
  const most = Math.max(...shares);
  const label = make("span", "category", prose("b", "", category), ` up to ${Math.round(most * 100)} %`);
  const histogram = make("div", "histogram", ...bars);
  histogram.setAttribute("role", "img");
  histogram.setAttribute("aria-label", `${category}: up to ${Math.round(most * 100)} % of a layer, most in layer ${shares.indexOf(most)}`);
  return make("div", "category-share", label, histogram);
}
