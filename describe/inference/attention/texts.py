"""The texts that a head is watched on: a corpus that ships with the package or the user's, cut into documents of one
length; some of these with their tokens in random order; and random tokens that come twice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from describe.attention import TextName
from describe.errors import InputError
from describe.files import from_home
from describe.text import shortened

__all__ = ["Document", "Source", "TokenMarks", "documents", "random_documents", "read_sources", "shuffled"]

SHORTEST = 32
"""Tokens of a document that is worth looking at."""

SHUFFLED_EACH = 4
"""Every fourth document is run shuffled as well."""

RANDOM_DOCUMENTS, RANDOM_TOKENS = 8, 64
"""Documents of random tokens, and how many tokens come twice in each."""

LARGEST_FILE = 1 << 30


@dataclass(frozen=True, slots=True)
class Source:
    """A text and what it is.

    Attributes:
        name: where it is from; ``kind``: prose, code and the like, where that is known.
    """

    text: str
    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """Tokens that are run as one.

    Attributes:
        of: which of `describe.attention.TEXTS` it belongs to.
        copies_from: the first place at which an earlier copy of a token counts.
        source: the name of what it was cut from; ``kind`` of what kind that is.
    """

    of: TextName
    ids: tuple[int, ...]
    copies_from: int = 0
    source: str = ""
    kind: str = ""


@dataclass(frozen=True)
class TokenMarks:
    """Of every token of a vocabulary, whether it is punctuation or a line break."""

    punctuation: list[bool]
    line_break: list[bool]

    @classmethod
    def of(cls, tokens: Sequence[str]) -> TokenMarks:
        """By the tokens' texts: no letter or digit but something to see; a line's end."""
        breaks = ["\n" in token for token in tokens]
        marks = [not broken and _is_punctuation(token) for token, broken in zip(tokens, breaks, strict=True)]
        return cls(marks, breaks)


def _is_punctuation(token: str) -> bool:
    seen = token.strip()
    return bool(seen) and not any(char.isalnum() for char in seen)


def documents(
    sources: Iterable[Source], tokenise: Callable[[str], list[int]], most: int, length: int
) -> list[Document]:
    """Documents of at most ``length`` tokens from sources, ``most`` tokens in all: of every source its beginning, then
    of every source what follows, and so on. What the tokenizer puts before any text begins each.

    Raises `InputError` when no source has `SHORTEST` tokens.
    """
    before = tokenise("")
    kept: list[tuple[Source, list[int]]] = []
    tokens, longest = 0, 0
    for source in sources:
        ids = tokenise(source.text)
        longest = max(longest, len(ids))
        if len(ids) >= SHORTEST:
            kept.append((source, ids[len(before) :]))
            tokens += len(ids)
        if len(kept) * length >= most and tokens >= most:
            break
    if not kept:
        raise InputError(f"the text is too short: {longest} tokens at most, and {SHORTEST} are needed to see anything")
    found: list[Document] = []
    for number, (source, ids) in _pieces(kept, length - len(before)):
        if most <= 0:
            break
        piece = (*before, *ids[number : number + length - len(before)])[:most]
        if len(piece) >= SHORTEST:
            found.append(Document("text", piece, source=source.name, kind=source.kind))
            most -= len(piece)
        elif most < SHORTEST:
            break
    return found


def _pieces(kept: list[tuple[Source, list[int]]], step: int) -> Iterator[tuple[int, tuple[Source, list[int]]]]:
    longest = max(len(ids) for _, ids in kept)
    for start in range(0, longest, step):
        yield from ((start, one) for one in kept if start < len(one[1]))


def shuffled(texts: Sequence[Document], before: int, seed: int) -> list[Document]:
    """Every `SHUFFLED_EACH`-th document with its tokens in random order, but for those ``before`` any text."""
    draw = random.Random(seed)  # noqa: S311  (not a secret)
    found = []
    for document in texts[::SHUFFLED_EACH]:
        rest = list(document.ids[before:])
        draw.shuffle(rest)
        found.append(Document("shuffled", (*document.ids[:before], *rest), 0, document.source, document.kind))
    return found


def random_documents(tokens: Sequence[int], before: Sequence[int], longest: int, seed: int) -> list[Document]:
    """Documents of random tokens that come twice, one sequence after the other, drawn from these.

    The first token, which draws attention whatever it is, is what the tokenizer puts before any text, or one more.
    """
    draw = random.Random(seed)  # noqa: S311
    found = []
    for _ in range(RANDOM_DOCUMENTS):
        first = list(before) or [draw.choice(tokens)]
        number = min(RANDOM_TOKENS, (longest - len(first)) // 2, len(tokens))
        once = draw.sample(tokens, number)
        found.append(Document("random", (*first, *once, *once), len(first) + number))
    return found


# -- reading texts ------------------------------------------------------------------------------------------------


def read_sources(where: str | None) -> Iterator[Source]:
    """The texts of a file (.txt, .jsonl, .parquet), of all such files in a folder, or of a dataset of the Hugging Face
    hub; without one, the corpus that ships with the package.

    Raises `InputError` for what cannot be read or holds no text.
    """
    if where is None:
        corpus = files("describe.inference").joinpath("corpus.jsonl").read_text("utf-8")
        for line in corpus.splitlines():
            found = json.loads(line)
            yield Source(found["text"], found["source"], found["kind"])
        return
    path = from_home(where)
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in _READERS and p.is_file())
        if not inside:
            raise InputError(f"'{shortened(where)}' holds no .txt, .jsonl or .parquet")
        for each in inside:
            yield from _READERS[each.suffix.lower()](each)
    elif path.exists():
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise InputError(f"'{shortened(where)}' is no .txt, .jsonl or .parquet, and no folder of such files")
        yield from reader(path)
    elif path.is_absolute() or path.suffix.lower() in _READERS or where.startswith((".", "~")):
        raise InputError(f"there is no '{shortened(where)}'")
    else:
        yield from _dataset(where)


def _plain(path: Path) -> Iterator[Source]:
    text = _text(path)
    if not text.strip():
        raise InputError(f"'{path}' is empty")
    yield Source(text, path.name)


def _lines(path: Path) -> Iterator[Source]:
    from describe.inference.attention.json_texts import text_of

    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            yield Source(text_of(line, f"'{path}', line {number}"), path.name)


def _table(path: Path) -> Iterator[Source]:
    from describe.inference.attention.json_texts import text_column

    yield from (Source(text, path.name) for text in text_column(path))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"'{path}' has more than {LARGEST_FILE >> 20} MiB: give a part of it")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is no text in UTF-8 (byte {error.start})") from error
    if "\0" in text:
        raise InputError(f"'{path}' is no text: it holds NUL bytes")
    return text.replace("\r\n", "\n")


def _dataset(name: str) -> Iterator[Source]:
    from describe.inference.attention.json_texts import text_field

    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"there is no '{shortened(name)}' here; for datasets of the hub: pip install datasets"
        ) from error
    try:
        rows: Iterable[dict[str, object]] = datasets.load_dataset(name, split="train", streaming=True)
        for row in rows:
            yield Source(text_field(row, f"the dataset '{shortened(name)}'"), name)
    except InputError:
        raise
    except Exception as error:  # whatever its many loaders raise
        reason = shortened(" ".join(str(error).split()), 200) or type(error).__name__
        raise InputError(f"'{shortened(name)}' is no file here, and no dataset that can be loaded: {reason}") from error


_READERS: dict[str, Callable[[Path], Iterator[Source]]] = {
    ".txt": _plain,
    ".md": _plain,
    ".jsonl": _lines,
    ".parquet": _table,
}
