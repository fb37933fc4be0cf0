"""Where a broken run of a model over single tokens stood, in a file: it goes on from there.

Kept beside the hashes of files, once a minute at most: what takes less is done again. Holds numbers alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from describe.cached import cached_file, keep_file
from describe.inference.stream import Standing
from describe.maps import KeptRows
from describe.maps.blocks import blocks

__all__ = ["StreamState"]

SECONDS = 60.0
"""Work that may be lost."""


class StreamState:
    """The file of one run: of a model by its content, openings, tokens and a precision."""

    def __init__(
        self, content_hash: str, openings: Sequence[Sequence[int]], tokens: Tensor, dtype: torch.dtype
    ) -> None:
        told = [content_hash, [list(opening) for opening in openings], tokens.tolist(), str(dtype)]
        self._path = cached_file("streams", told)
        self._shape, self._dtype = (len(openings), len(tokens)), dtype
        self._kept = time.monotonic()

    def keep(self, standing: Standing) -> None:
        """Write where tokens stand, if the last time is long ago; a full disk only costs what it would have saved."""
        if time.monotonic() - self._kept < SECONDS:
            return

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                lengths = [opening.shape[1] for opening in standing.openings]
                file.write(json.dumps({"layer": standing.layer, "lengths": lengths}).encode() + b"\n")
                for rows in (*(opening[0] for opening in standing.openings), *standing.tokens):
                    for part in blocks(*rows.shape):
                        file.write(rows[part].to("cpu", self._dtype).contiguous().numpy().tobytes())

        keep_file(self._path, write)
        self._kept = time.monotonic()

    def load(
        self, most: int, keep: Callable[[tuple[int, int]], KeptRows], d: int, device: torch.device
    ) -> Standing | None:
        """Where the tokens stood, in rows of width ``d``; None where no run is there to go on with, or it is beyond
        the layer ``most``, whose vectors are asked for."""
        try:
            with self._path.open("rb") as file:
                told = json.loads(file.readline(1 << 16))
                layer, lengths = int(told["layer"]), [int(length) for length in told["lengths"]]
                n_openings, n_tokens = self._shape
                size = (sum(lengths) + n_openings * n_tokens) * d * self._dtype.itemsize
                if layer > most or len(lengths) != n_openings or size != self._path.stat().st_size - file.tell():
                    return None

                def rows(n: int) -> Tensor:
                    data = np.frombuffer(file.read(n * d * self._dtype.itemsize), np.uint8).copy()
                    return torch.from_numpy(data).view(self._dtype).view(n, d).to(device)

                openings = [rows(length)[None] for length in lengths]
                tokens = []
                for _ in range(n_openings):
                    kept = keep((n_tokens, d))
                    for part in blocks(n_tokens, d):
                        kept[part] = rows(part.stop - part.start)
                    tokens.append(kept)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return None
        return Standing(layer, openings, tokens)

    def remove(self) -> None:
        """The run is done."""
        self._path.unlink(missing_ok=True)
