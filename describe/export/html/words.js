// Finding heads by words, as the catalogue does (`describe/terms.py`): all words must be found, a word of three letters
// or more stands for all that begin with it, and nothing in a query is syntax.

const LONGEST_TERM = 60;
const PREFIX_FROM = 3;
const MOST_TERMS = 12;
const MOST_OF_PASSAGE = 2000;
const WORD = /[\p{L}\p{N}_]+/gu;

// In one case and one of Unicode's ways to write it. Both ways there and back, for letters that have several forms.
function folded(text) {
  const lower = (char) => (char === "ı" ? char : char.toUpperCase().toLowerCase());
  return Array.from(text, lower).join("").replaceAll("ς", "σ").normalize("NFKC");
}

function signTerm(piece) {
  const escaped = folded(piece).replaceAll("\\", "\\\\").split(HIDDEN_IN_TOKEN);
  return escaped.map((part, i) => (i % 2 ? escapeOf(part) : part)).join("").slice(0, LONGEST_TERM);
}

// The terms of a query, each [text, whether all that begins with it counts].
function queryTerms(text) {
  const pieces = text.slice(0, 500).split(/\s+/u).filter(Boolean);
  const words = pieces.flatMap((piece) => folded(piece).match(WORD) ?? []);
  const terms = words.map((word) => [word.slice(0, LONGEST_TERM), Array.from(word).length >= PREFIX_FROM]);
  const all = words.length ? terms : pieces.map((piece) => [signTerm(piece), false]);
  return [...new Map(all.map((term) => [term.join("\n"), term])).values()].slice(0, MOST_TERMS);
}

const WHOLE = 2; // of a term that is just what is asked for; 1 of one that begins so, which weighs less
const BEGUN = 100;
const FRAME = "‹"; // before a term that stands only in phrases around what a description says: it ranks last

function meets([text, prefix], term) {
  const word = term.startsWith(FRAME) ? term.slice(FRAME.length) : term;
  return prefix ? word.startsWith(text) : word === text;
}

// The heads that have all terms, best first: {place, found: the tokens' terms, told: the description that has most,
// if any has one}.
function findHeads({ terms, heads }, asked) {
  const wanted = asked.map((term) => Uint8Array.from(terms, (one) => (meets([term[0], false], one) ? WHOLE : Number(meets(term, one)))));
  const matches = [];
  heads.forEach((passages, place) => {
    let rank = 0;
    for (const ids of wanted) {
      const best = Math.max(0, ...passages.map((passage, i) => passageWeight(passage, i, ids, terms)));
      if (!best) return;
      rank += best;
    }
    const any = (id) => wanted.some((ids) => ids[id]);
    const counts = passages.slice(1).filter(([told]) => told >= 0).map(([told, ...words]) => [words.filter(any).length, told]);
    const [, told] = counts.reduce((a, b) => (b[0] > a[0] ? b : a), [0, null]);
    matches.push({ place, rank, told, found: passages[0].filter(any).map((id) => terms[id]) });
  });
  return matches.sort((a, b) => b.rank - a.rank || a.place - b.place);
}

// The shorter a passage, the more a word in it weighs; as it is asked for more than where one only begins so. A
// description's passage begins with its place among the head's.
function passageWeight(passage, i, ids, terms) {
  const start = i ? 1 : 0;
  let behind = Infinity;
  for (let at = start; at < passage.length; at++) {
    const id = passage[at];
    if (!ids[id]) continue;
    const around = terms[id].startsWith(FRAME) ? MOST_OF_PASSAGE : 0;
    behind = Math.min(behind, around + (ids[id] === WHOLE ? 0 : BEGUN));
  }
  return 1 / (20 + behind + passage.length - start);
}

// What a query asks for, to be marked in texts; null where it asks for nothing.
function markExpression(asked) {
  if (!asked.length) return null;
  const literal = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const forms = asked.map(([text, prefix]) => {
    if (!/^[\p{L}\p{N}_]+$/u.test(text)) return literal(text);
    return `(?<![\\p{L}\\p{N}_])${literal(text)}${prefix ? "[\\p{L}\\p{N}_]*" : "(?![\\p{L}\\p{N}_])"}`;
  });
  return new RegExp(forms.join("|"), "giu");
}
