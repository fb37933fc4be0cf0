// The operations of the whole model: which heads implement each, and in which layers each category lies.

// Where the scores' provenance names the category of each operation.
function categoryOf(operation) {
  const source = heads.find((head) => "relations" in head.provenance);
  return (source && shared[source.provenance.relations]?.operations?.[operation]?.category) || "other";
}

function operationsOverview() {
  const names = [...new Set(heads.flatMap((head) => Object.keys(head.relations)))].sort();
  if (!names.length) return [];
  const rows = names.map(operationRow);
  const list = table("operations", "Heads that implement each operation", ["Operation", "Heads", "Strongest"], rows);
  const shares = [...new Set(names.map(categoryOf))].sort().map((category) => categoryShare(category, names));
  const about = make("p", "note", "Share of a layer's heads that implement an operation of the category, layer 0 at the left.");
  return [list, make("h3", "", "Categories by layer"), about, ...shares];
}

function operationRow(operation) {
  const scored = heads.map((head) => [head, head.relations[operation]?.[0] ?? 0]).sort((a, b) => b[1] - a[1]);
  const strongest = make("td");
  for (const [head, score] of scored.slice(0, 3).filter(([, score]) => score > 0)) {
    const link = make("a", "", nameOf(indexOf(head)));
    link.href = `#${nameOf(indexOf(head))}`;
    strongest.append(make("span", "scored", link, ` ${score.toFixed(2)}`));
  }
  const count = scored.filter(([, score]) => score >= threshold).length;
  return make("tr", "", heading("row", prose("span", "", operation)), make("td", "", formatCount(count)), strongest);
}

// A bar per layer: the share of its heads that implement any operation of the category.
function categoryShare(category, names) {
  const members = names.filter((name) => categoryOf(name) === category);
  const counts = Array.from({ length: model.n_layers }, () => 0);
  for (const head of heads) {
    if (members.some((name) => (head.relations[name]?.[0] ?? 0) >= threshold)) counts[head.layer] += 1;
  }
  const shares = counts.map((count) => count / model.n_heads);
  const bars = shares.map((share, layer) => {
    const bar = make("i");
    bar.style.setProperty("--share", 0.8);
    bar.style.setProperty("--height", share);
    bar.title = `layer ${layer}: ${Math.round(share * 100)} %`;
    return bar;
  });
  const most = Math.max(...shares);
  const label = make("span", "category", prose("b", "", category), ` up to ${Math.round(most * 100)} %`);
  return make("div", "category-share", label, make("div", "histogram", ...bars));
}
