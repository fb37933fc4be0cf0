// Where a page has its heads from: from itself, where it is a file, or from the app, a head at a time.

// The data in an element: as it is, or once it is decompressed.
function readPart(id) {
  const element = $(id);
  if (!element.dataset.packed) return JSON.parse(element.textContent);
  return unpacked(element.textContent).then(JSON.parse);
}

function embeddedParts() {
  const element = $("heads");
  const lines = element.textContent.split("\n");
  const together = Number(element.dataset.packed);
  const blocks = new Map();
  const read = new Map();
  let tables = null;
  let words = null;
  const lineOf = (place) => {
    if (!together) return lines[place];
    const block = Math.floor(place / together);
    if (!blocks.has(block)) blocks.set(block, unpacked(lines[block]).then((text) => text.split("\n")));
    return blocks.get(block).then((found) => found[place % together]);
  };
  return {
    async head(place) {
      tables ??= readPart("tables");
      if (!read.has(place)) {
        const head = JSON.parse(await lineOf(place));
        read.set(place, Object.assign(head, await tables));
      }
      return read.get(place);
    },
    async search(text) {
      words ??= readPart("words");
      const found = findHeads(await words, queryTerms(text));
      const told = found.slice(0, MAX_RESULTS).map(async (match) => {
        if (match.told === null) return { ...match, texts: [] };
        const { pattern, inputs } = (await this.head(match.place)).descriptions[match.told];
        return { ...match, texts: [pattern, inputs].filter(Boolean) };
      });
      return { places: found.map(({ place }) => place), matches: await Promise.all(told) };
    },
  };
}

function servedParts(address) {
  const known = new Map();
  const ask = async (part, query) => {
    const model = new URLSearchParams({ model: overview.model.address, ...query });
    const answer = await fetch(`${address}${part}?${model}`);
    if (answer.status === 403) location.reload(); // signed out meanwhile
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };
  const places = new Map(overview.heads.map((head, place) => [`${head.layer}.${head.head}`, place]));
  return {
    async head(place) {
      const { layer, head } = overview.heads[place];
      if (!known.has(place)) {
        const found = await ask("head", { head: `${layer}.${head}` });
        known.set(place, { ...found.head, ...found.tables });
      }
      return known.get(place);
    },
    async search(text) {
      const found = await ask("search", { q: text });
      const matches = found.matches.map((match) => ({ ...match, place: places.get(match.head) }));
      return { places: found.heads.map((name) => places.get(name)), matches };
    },
  };
}

const overview = readPart("overview");
const { model, heads } = overview;
const served = document.body.dataset.parts;
const parts = served ? servedParts(served) : embeddedParts();

const indexOf = (head) => head.layer * model.n_heads + head.head;
const nameOf = (index) => `${Math.floor(index / model.n_heads)}.${index % model.n_heads}`;
