"""The text of every token of a vocabulary, exactly as the token contributes to text.

A tokenizer's own decoder drops the leading space of a first token and turns half a character into a replacement sign;
here a leading space stays and the bytes of an incomplete character stay visible, written ``<0xF0>``.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.checkpoint_files import read_json
from describe.weights.gguf_loading import quick_gguf
from describe.weights.sources import GgufSource

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "BYTES",
    "count",
    "encode",
    "encode_opening",
    "encode_start",
    "ends_words",
    "gguf_tokens",
    "hub_tokens",
    "load_tokenizer",
    "scheme_of",
]

LARGEST_TOKENIZER = 256 << 20
"""Bytes of tokenizer.json: several times those of any model known."""


@dataclass(frozen=True)
class Scheme:
    """How the pieces of a vocabulary stand for text.

    Attributes:
        kind: "bytes" by GPT-2's stand-ins; "sentencepiece" with the sign for a space; "word ends" with a mark at the
            end of each word (GPT of 2018); "continued" with one where a word goes on (CTRL); "wordpiece" with one where
            a piece goes on with a word.
        mark: that mark.
    """

    kind: Literal["bytes", "sentencepiece", "word ends", "continued", "wordpiece"]
    mark: str = ""


BYTES, SENTENCEPIECE = Scheme("bytes"), Scheme("sentencepiece")


def hub_tokens(directory: Path, size: int) -> list[str]:
    """The text of the tokens 0 .. size-1 of the tokenizer in a Hugging Face directory.

    Raises `CheckpointError` when the directory has no tokenizer. Rows of the embedding matrix that the tokenizer
    does not name (padding to a round number) are called ``[id 50300]``.
    """
    wanted = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
    if not any((directory / name).is_file() for name in wanted):
        raise CheckpointError(f"{directory} holds no tokenizer (tokenizer.json or so): save it beside the weights")
    tokenizer = load_tokenizer(directory)
    pieces: dict[str, int] = tokenizer.get_vocab()
    by_id = {index: piece for piece, index in pieces.items()}
    # Added tokens are stored as plain text, whatever the scheme of the rest.
    plain = {index: str(added) for index, added in tokenizer.added_tokens_decoder.items()}
    scheme = scheme_of(directory, tokenizer, by_id.values())
    return [plain.get(i) or _text(by_id.get(i), scheme, i) for i in range(size)]


def gguf_tokens(source: GgufSource, size: int) -> list[str]:
    """The text of the tokens 0 .. size-1 of a GGUF file. Raises `CheckpointError` when it has no tokenizer."""
    pieces = source.metadata("tokenizer.ggml.tokens")
    if not pieces:
        raise CheckpointError(f"{source.path} holds no tokenizer")
    scheme = BYTES if source.metadata("tokenizer.ggml.model") == "gpt2" else SENTENCEPIECE
    kinds = source.metadata("tokenizer.ggml.token_type") or [1] * len(pieces)
    if not (isinstance(pieces, list) and isinstance(pieces[0], str) and isinstance(kinds, list)):
        raise CheckpointError(f"{source.path} does not list its tokens and their types")
    if len(kinds) != len(pieces):
        raise CheckpointError(f"{source.path} has {len(pieces)} tokens and the types of {len(kinds)}")
    plain = (3, 4)  # GGUF's token types "control" and "user defined": their text is not encoded
    named = [
        piece if kind in plain else _text(piece, scheme, i)
        for i, (piece, kind) in enumerate(zip(pieces, kinds, strict=True))
    ]
    return (named + [_text(None, scheme, i) for i in range(len(named), size)])[:size]


def ends_words(tokens: Iterable[str]) -> bool:
    """Whether the words of a vocabulary have their space behind them, not before them."""
    behind = before = 0
    for token in tokens:
        behind += token[-1:] == " " != token[:1]
        before += token[:1] == " " != token[-1:]
    return behind > before


def encode(path: Path, tokens: list[str], text: str) -> list[int]:
    """The ids that a model's tokenizer makes of a text as it stands inside a sentence, leading space included.

    Raises `CheckpointError` when the tokenizer cannot be loaded, or drops the leading space.
    """
    found = [ids for encoder in _encoders(path) for ids in encoder(text)]
    if any(not 0 <= i < len(tokens) for ids in found for i in ids):
        raise CheckpointError(f"the tokenizer of {path} makes tokens that the model does not have")
    exact = (ids for ids in found if "".join(tokens[i] for i in ids) == text)
    # Where tokens end inside a character their texts do not join to the whole; the start must be right all the same.
    starting = (ids for ids in found if tokens[ids[0]][:1] == text[:1])
    first = text.strip()[:1].lower()  # of a vocabulary with its spaces behind words, and without capitals
    marked = (ids for ids in found if tokens[ids[-1]][-1:] == " " and tokens[ids[0]][:1].lower() == first)
    best = next(exact, None) or next(starting, None) or next(marked, None)
    if best is None:
        raise CheckpointError(f"the tokenizer of {path} does not keep the start of '{text}'")
    return best


def _encoders(path: Path) -> Iterator[Callable[[str], list[list[int]]]]:
    """Ways to the ids of a text: the tokenizer as transformers loads it, then as its own file says (some versions of
    transformers put another one in place of that)."""

    def several(encode: Callable[[str], list[int]], text: str) -> list[list[int]]:
        # Some tokenizers put the leading space there themselves, and would double it.
        return [ids for candidate in (text, text.removeprefix(" ")) if (ids := list(encode(candidate)))]

    yield partial(several, partial(load_tokenizer(path).encode, add_special_tokens=False))
    file = _file_tokenizer(path / "tokenizer.json") if path.is_dir() else None
    if file is not None:
        yield partial(several, lambda text: file.encode(text, add_special_tokens=False).ids)


def encode_start(path: Path, text: str) -> list[int]:
    """The ids that a model's tokenizer makes of the beginning of a text, with what it puts before any text.

    Raises `CheckpointError` when the tokenizer cannot be loaded.
    """
    tokenizer = load_tokenizer(path)
    plain = list(tokenizer.encode(text, add_special_tokens=False))
    whole = list(tokenizer.encode(text))
    if not plain:
        return [token for token in whole if token != tokenizer.eos_token_id or token == tokenizer.bos_token_id]
    first = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
    return whole[: first + len(plain)]  # without what it puts after


def encode_opening(path: Path, text: str) -> list[int]:
    """As `encode_start`, behind the tokenizer's token for the beginning of texts, or that for their end, where it puts
    none before a text itself and has either."""
    tokenizer, start = load_tokenizer(path), encode_start(path, text)
    if encode_start(path, ""):
        return start
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return [*[token for token in known if isinstance(token, int)][:1], *start]


def count(path: Path, texts: Sequence[str]) -> Counter[int]:
    """How often each token is in some texts, by its id.

    Raises `CheckpointError` when the tokenizer cannot be loaded.
    """
    tokenizer, found = load_tokenizer(path), Counter[int]()
    for start in range(0, len(texts), 1024):
        for ids in tokenizer(list(texts[start : start + 1024]), add_special_tokens=False)["input_ids"]:
            found.update(ids)
    return found


@lru_cache(maxsize=2)
def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a directory or a GGUF file, by transformers.

    Raises `CheckpointError` when it cannot be loaded.
    """
    from transformers import AutoTokenizer

    folder, options = (path.parent, {"gguf_file": path.name}) if path.is_file() else (path, {})
    try:
        with quick_gguf(path):
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # transformers raises whatever its tokenizers raise, and what is in Rust panics
        reason = shortened(" ".join(str(error).split()), 300) or type(error).__name__
        raise CheckpointError(f"the tokenizer in {path} cannot be loaded: {reason}") from error


@lru_cache(maxsize=2)
def _file_tokenizer(path: Path) -> Tokenizer | None:
    """The tokenizer that a tokenizer.json says; None where there is none, or none that can be read."""
    from tokenizers import Tokenizer as Loaded

    try:
        return Loaded.from_file(str(path)) if path.is_file() else None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # what is in Rust panics; transformers has read it another way
        return None


def _scheme_of_file(path: Path) -> Scheme | None:
    """By tokenizer.json, whatever a version of transformers makes of it; None where there is none that says it."""
    told = read_json(path, LARGEST_TOKENIZER) if path.is_file() else None
    if not isinstance(told, dict) or not isinstance(told.get("model"), dict):
        return None
    model = told["model"]
    decoders, before = (list(_kinds(told.get(key))) for key in ("decoder", "pre_tokenizer"))
    if "ByteLevel" in decoders or (not decoders and "ByteLevel" in before):
        return BYTES
    if model.get("end_of_word_suffix"):
        return Scheme("word ends", str(model["end_of_word_suffix"]))
    if model.get("type") == "WordPiece" or "WordPiece" in decoders:
        return Scheme("wordpiece", str(model.get("continuing_subword_prefix") or "##"))
    return SENTENCEPIECE


def _kinds(part: object) -> Iterator[str]:
    """The types of a part of tokenizer.json, and of those that it is a sequence of."""
    if not isinstance(part, dict):
        return
    yield str(part.get("type"))
    for key in ("decoders", "pretokenizers"):
        for inner in part.get(key) or ():
            yield from _kinds(inner)


def scheme_of(directory: Path, tokenizer: Any, pieces: Collection[str]) -> Scheme:
    """How a tokenizer writes text in its pieces: by its file, else as transformers has loaded it."""
    told = _scheme_of_file(directory / "tokenizer.json")
    if told is not None:
        return told
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and backend.decoder is not None and "BPEDecoder" not in repr(backend.decoder):
        return BYTES if "ByteLevel" in repr(backend.decoder) else SENTENCEPIECE
    for scheme, holds in (
        (Scheme("word ends", "</w>"), str.endswith),
        (Scheme("continued", "@@"), str.endswith),
        (Scheme("wordpiece", "##"), str.startswith),
    ):
        if sum(holds(piece, scheme.mark) for piece in pieces) > len(pieces) / 20:
            return scheme
    return BYTES if any(piece.startswith("Ġ") for piece in pieces) else SENTENCEPIECE


def _text(piece: str | None, scheme: Scheme, index: int) -> str:
    if piece is None:
        return f"[id {index}]"
    if scheme.kind == "sentencepiece":
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)]).decode("utf-8", "bytetoken")
        return piece.replace("▁", " ")
    if scheme.kind != "bytes":
        return _without_mark(piece, scheme)
    if any(char not in _BYTE_OF for char in piece):
        return piece  # a token added as plain text
    return bytes(_BYTE_OF[char] for char in piece).decode("utf-8", "bytetoken")


def _without_mark(piece: str, scheme: Scheme) -> str:
    """A piece with the space that its mark, or the lack of one, stands for."""
    if scheme.kind == "wordpiece":
        return piece.removeprefix(scheme.mark) if piece.startswith(scheme.mark) else f" {piece}"
    text = piece.removesuffix(scheme.mark)
    ends = piece.endswith(scheme.mark) == (scheme.kind == "word ends")
    return f"{text} " if ends else text


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes: visible Latin-1 stands for itself, the rest follows from U+0100 on."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in itself]
    return {chr(byte): byte for byte in itself} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def _name_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(f"<0x{byte:02X}>" for byte in error.object[error.start : error.end]), error.end


_BYTE_OF = _byte_alphabet()
codecs.register_error("bytetoken", _name_bytes)
