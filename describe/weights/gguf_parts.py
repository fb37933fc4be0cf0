"""The files of a GGUF model that is split into several. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from describe.errors import CheckpointError

__all__ = ["gguf_parts", "whole_name"]

_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def gguf_parts(path: Path) -> list[Path]:
    """All files of the model that a file is, or is a part of, the first part first.

    Raises `CheckpointError` when some are not there.
    """
    told = _PART.fullmatch(path.name)
    if told is None:
        return [path]
    count = int(told["count"])
    if not 1 <= int(told["number"]) <= count:
        raise CheckpointError(f"{path.name} is named as a part of a model that has no such part")
    parts = [path.with_name(f"{told['name']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"{path.name} is one of {count} parts of a model, and {missing[0]}{more} is not beside it"
        )
    return parts


def whole_name(path: Path) -> str:
    """The name of the model in a file, without the number of the part."""
    told = _PART.fullmatch(path.name)
    return path.stem if told is None else told["name"]
