"""A GGUF file served in this process by llama.cpp, on a loopback port with a key of its own."""

from __future__ import annotations

import importlib.util
import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any

from describe.errors import LLMError
from describe.files import from_home
from describe.llm.asking import Oversight, Request
from describe.llm.client import ChatClient
from describe.llm.sending import shown_address
from describe.llm.spec import LLM
from describe.llm.wire import Wire
from describe.secrets import keep_secret
from describe.weights.locate import DEMO, Location, content_hash, demo_file

__all__ = ["identity", "model_file", "open_client", "serve"]

PROMPT_TOKENS = 4096
"""Room for the prompt of one head and one repair, beside the tokens of the reply."""


def model_file(model: str) -> Path:
    """The GGUF file of ``gguf:MODEL``. Raises `LLMError` when it is not one, or xllamacpp is not installed."""
    path = demo_file() if model == DEMO else from_home(model)
    if not path.is_file():
        raise LLMError(f"there is no GGUF file '{model}'")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise LLMError(f"'{model}' is not a GGUF file")
    if importlib.util.find_spec("xllamacpp") is None:
        raise LLMError("gguf: needs llama.cpp: pip install 'headscribe[gguf]'")
    return path


def identity(llm: LLM) -> dict[str, str]:
    """The content hash of the file. Raises `LLMError` as `model_file` does."""
    return {"content_hash": content_hash(Location(llm.model, model_file(llm.model)))}


def open_client(llm: LLM, request: Request, concurrency: int, oversight: Oversight | None) -> ChatClient:
    """A client of the file, served in this process; to be closed. Raises `LLMError` as `serve` does."""
    url, key = serve(llm.model, request.max_tokens, concurrency)
    wire = Wire("local", shown_address(url), request, lengths=True, identity=identity(llm))
    return ChatClient(wire, url, key, oversight)


def serve(model: str, max_tokens: int, concurrency: int) -> tuple[str, str]:
    """The base URL and the key of an OpenAI-compatible server of a GGUF file.

    The server lives as long as this process, or until another is asked for: stopping one waits for the reply it is
    generating, and an interrupt must not. Raises `LLMError` as `model_file` does, and when the file cannot be loaded.
    """
    server, key = _server(model_file(model), concurrency, concurrency * (PROMPT_TOKENS + max_tokens))
    return f"{server.listening_address}/v1", key


def _threads() -> int:
    """As many as OMP_NUM_THREADS says, or as there are cores: llama.cpp's wait for each other without rest."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) > 0 else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _server(path: Path, n_parallel: int, n_ctx: int) -> tuple[Any, str]:
    import xllamacpp

    key = secrets.token_hex(16)
    keep_secret(key)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = [path.stem]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.n_parallel = n_parallel
    params.n_ctx = n_ctx
    params.cpuparams.n_threads = _threads()
    params.verbosity = -1
    try:
        return xllamacpp.Server(params), key
    except Exception as error:  # the binding raises plain RuntimeError and ValueError
        raise LLMError(f"llama.cpp cannot serve '{path}': {error}") from error
