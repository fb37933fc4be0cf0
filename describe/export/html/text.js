"use strict";

// What every page shares: elements, numbers, and text. Every text is untrusted: it reaches the document as text nodes
// only, never as markup.

const $ = (id) => document.getElementById(id);
const MAX_RESULTS = 200;
let query = null; // what was searched for, as a regular expression; null when nothing was

function format(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (size >= 999.5) return value.toFixed(0);
  return size < 0.001 && size > 0 ? value.toExponential(0) : value.toPrecision(3);
}

const formatCount = (count) => count.toLocaleString("en");

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// Data of a large page are compressed.
async function unpacked(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).text();
}

// ---- Text: nothing invisible, nothing interpreted ----

// In tokens every space counts; in prose spaces and line breaks keep their usual look.
const HIDDEN_IN_TOKEN = /([\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800])/u;
const HIDDEN_IN_PROSE = /((?![ \n])[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800])/u;
const SHORT_ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escapeOf(char) {
  const hex = char.codePointAt(0).toString(16);
  return SHORT_ESCAPES[char] ?? (hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, "0")}`);
}

// For the few places that take no elements, such as an option's label.
function visible(text) {
  return text.split(HIDDEN_IN_PROSE).map((piece, i) => (i % 2 ? escapeOf(piece) : piece)).join("");
}

function appendVisible(parent, text, hidden) {
  text.split(hidden).forEach((piece, i) => {
    if (i % 2 === 0) parent.append(piece);
    // The space itself stays in the text, so that copying gives the token; CSS draws its mark.
    else if (piece === " ") parent.append(make("span", "space", " "));
    else parent.append(make("span", "escape", escapeOf(piece)));
  });
  return parent;
}

function appendMarked(parent, text, hidden) {
  let end = 0;
  for (const match of query ? text.matchAll(query) : []) {
    appendVisible(parent, text.slice(end, match.index), hidden);
    parent.append(appendVisible(make("mark"), match[0], hidden));
    end = match.index + match[0].length;
  }
  return appendVisible(parent, text.slice(end), hidden);
}

const prose = (tag, className, text) => appendMarked(make(tag, className), text, HIDDEN_IN_PROSE);
