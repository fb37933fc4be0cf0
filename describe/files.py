"""Writing files and folders so that nobody ever sees half of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from describe.errors import InputError

__all__ = ["MANIFEST", "replacing", "replacing_folder", "write_atomically"]

MANIFEST = "headscribe.json"
"""In a folder that we wrote: its files with their SHA-256."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, renamed to it when the context ends well, removed when it does not.

    Raises `InputError` when the directory cannot be written to.
    """
    path = path.expanduser()
    if path.is_dir():
        raise InputError(f"'{path}' is a directory: name a file to write")
    if not path.parent.is_dir():
        raise InputError(f"cannot write '{path}': there is no directory '{path.parent}'")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, about: dict[str, Any]) -> Iterator[Path]:
    """A temporary folder beside ``path``, renamed to it when the context ends well, removed when it does not.

    What was written is listed in its `MANIFEST`, after ``about``. A folder that is there already is replaced only when
    it is empty, or holds exactly what its own list says: nothing that anyone else put there or changed is ever deleted.
    Raises `InputError` for any other folder, and where nothing can be written.
    """
    path = path.expanduser().resolve()
    _check_replaceable(path)
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
    try:
        yield partial
        listed = about | {"files": _digests(partial)}
        (partial / MANIFEST).write_text(json.dumps(listed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.chmod(0o777 & ~_umask())
        _check_replaceable(path)  # nobody put anything there meanwhile
        old = partial.with_suffix(".old")
        if path.exists():
            path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            with suppress(OSError):
                old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def _check_replaceable(path: Path) -> None:
    """Refuse a place where something is that we did not write."""
    if not path.exists():
        if not path.parent.is_dir():
            raise InputError(f"cannot write '{path}': there is no directory '{path.parent}'")
        return
    if not path.is_dir():
        raise InputError(f"'{path}' is a file: name a folder to write")
    if not any(path.iterdir()):
        return
    try:
        known: Any = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if not isinstance(known, dict):
        raise InputError(f"the folder '{path}' was not written by headscribe: name another, or remove it yourself")
    found = _digests(path)
    other = [name for name in found if name not in known]
    changed = [name for name in found if name in known and found[name] != known[name]]
    if other or changed:
        what = f"a file that is not ours, '{other[0]}'" if other else f"'{changed[0]}', which was changed since"
        raise InputError(f"the folder '{path}' holds {what}: export to another, or remove this one yourself")


def _digests(folder: Path) -> dict[str, str]:
    """The files below a folder, all but its `MANIFEST`, with their SHA-256; empty folders and links as such."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or (path.is_dir() and not any(path.iterdir())):
            found[name] = "no file"
        elif path.is_file() and name != MANIFEST:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(1 << 20):
                    digest.update(block)
            found[name] = digest.hexdigest()
    return found


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
