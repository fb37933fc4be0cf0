"""The text of every token of a vocabulary, exactly as the token contributes to text.

A tokenizer's own decoder drops the leading space of a first token and turns half a character into a replacement sign;
here a leading space stays and the bytes of an incomplete character stay visible, written ``<0xF0>``.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.sources import GgufSource

__all__ = [
    "count",
    "encode",
    "encode_opening",
    "encode_start",
    "gguf_tokens",
    "hub_tokens",
    "load_tokenizer",
    "scheme_of",
]

Scheme = Literal["bytes", "sentencepiece"]


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
    scheme = scheme_of(tokenizer, by_id.values())
    return [plain.get(i) or _text(by_id.get(i), scheme, i) for i in range(size)]


def gguf_tokens(source: GgufSource, size: int) -> list[str]:
    """The text of the tokens 0 .. size-1 of a GGUF file. Raises `CheckpointError` when it has no tokenizer."""
    pieces = source.metadata("tokenizer.ggml.tokens")
    if not pieces:
        raise CheckpointError(f"{source.path} holds no tokenizer")
    scheme: Scheme = "bytes" if source.metadata("tokenizer.ggml.model") == "gpt2" else "sentencepiece"
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


def encode(path: Path, tokens: list[str], text: str) -> list[int]:
    """The ids that a model's tokenizer makes of a text as it stands inside a sentence, leading space included.

    Raises `CheckpointError` when the tokenizer cannot be loaded, or drops the leading space.
    """
    tokenizer = load_tokenizer(path)
    # Some tokenizers put the leading space there themselves, and would double it.
    candidates = (text, text.removeprefix(" "))
    found = [ids for t in candidates if (ids := list(tokenizer.encode(t, add_special_tokens=False)))]
    if any(not 0 <= i < len(tokens) for ids in found for i in ids):
        raise CheckpointError(f"the tokenizer of {path} makes tokens that the model does not have")
    exact = [ids for ids in found if "".join(tokens[i] for i in ids) == text]
    # Where tokens end inside a character their texts do not join to the whole; the start must be right all the same.
    starting = [ids for ids in found if tokens[ids[0]][:1] == text[:1]]
    if not (exact or starting):
        raise CheckpointError(f"the tokenizer of {path} does not keep the start of '{text}'")
    return (exact or starting)[0]


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
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # transformers raises whatever its tokenizers raise, and what is in Rust panics
        reason = shortened(" ".join(str(error).split()), 300) or type(error).__name__
        raise CheckpointError(f"the tokenizer in {path} cannot be loaded: {reason}") from error


def scheme_of(tokenizer: Any, pieces: Iterable[str]) -> Scheme:
    """How a tokenizer writes text in its pieces: byte by byte in printable characters, or as it is."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and backend.decoder is not None:
        return "bytes" if "ByteLevel" in repr(backend.decoder) else "sentencepiece"
    return "bytes" if any(piece.startswith("Ġ") for piece in pieces) else "sentencepiece"


def _text(piece: str | None, scheme: Scheme, index: int) -> str:
    if piece is None:
        return f"[id {index}]"
    if scheme == "sentencepiece":
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)]).decode("utf-8", "bytetoken")
        return piece.replace("▁", " ")
    if any(char not in _BYTE_OF for char in piece):
        return piece  # a token added as plain text
    return bytes(_BYTE_OF[char] for char in piece).decode("utf-8", "bytetoken")


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
