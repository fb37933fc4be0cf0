"""Writing files and folders so that nobody ever sees half of one.

What is being written and has no name yet lies beside its place, locked by its writer, and is removed after one that was
killed. The lock (``flock``) ends with the process; where there is none, as on Windows, nothing that is left is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from describe.errors import InputError

if sys.platform != "win32":
    import fcntl

__all__ = [
    "MANIFEST",
    "check_output",
    "check_replaceable",
    "from_home",
    "is_stream",
    "keep_from_outputs",
    "partial_file",
    "replacing",
    "replacing_folder",
    "write_atomically",
]

MANIFEST = "headscribe.json"
"""In a folder that we wrote: its files with their SHA-256."""

SQLITE = b"SQLite format 3\0"
"""How a SQLite file begins."""

LOG_ENDS = ("-wal", "-shm", "-journal")
"""Endings that SQLite adds to a file's name for those beside it."""

_OPEN = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/\w+/fd/\d+")
"""Names of what a process has open, whatever that is."""

_kept: set[Path] = set()


def from_home(path: str | Path) -> Path:
    """A path whose ``~`` is the user's home, or that of a user who is there; of nobody it is part of the name."""
    return Path(os.path.expanduser(path))


@contextmanager
def replacing(path: Path, *, database: bool = False) -> Iterator[Path]:
    """A temporary file, which takes the place of ``path`` when the context ends well; removed when it does not.

    A symbolic link is followed. A device or a pipe is written into, and ``-`` is standard output. Raises `InputError`
    where nothing can be written, and for the file of a catalogue or of its log; another ``database`` may be replaced
    by one.
    """
    path = from_home(path)
    with _told(path):
        if is_stream(path):
            with tempfile.TemporaryDirectory(prefix="headscribe-") as folder:
                partial = Path(folder) / "output"
                partial.touch()
                yield partial
                _pour(partial, path)
            return
        place = Path(os.path.realpath(path))
        check_output(path, database=database)
        with partial_file(place) as made:
            yield made.path
            made.publish()
            made.path.replace(place)


@contextmanager
def replacing_folder(path: Path, about: dict[str, Any]) -> Iterator[Path]:
    """A temporary folder beside ``path``, renamed to it when the context ends well, removed when it does not.

    What was written is listed in its `MANIFEST`, after ``about``. A folder that is there already is replaced only when
    it is empty, or holds exactly what its own list says: nothing that anyone else put there or changed is ever deleted.
    Raises `InputError` for any other folder, and where nothing can be written.
    """
    if str(path) == "-":
        raise InputError("a folder cannot be written to standard output: name one with -o")
    path = from_home(path).resolve()
    check_replaceable(path)
    with _told(path), partial_folder(path) as made:
        partial = made.path
        yield partial
        listed = about | {"files": _digests(partial)}
        (partial / MANIFEST).write_text(json.dumps(listed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        check_replaceable(path)  # nobody put anything there meanwhile
        made.publish()
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


def keep_from_outputs(path: Path) -> None:
    """Have a catalogue's file, and those of its log, refused as an output from now on, under whatever names."""
    _kept.add(path)


def is_stream(path: Path) -> bool:
    """Whether what is written to a path goes somewhere else than into a file of that name: it cannot be replaced."""
    if str(path) == "-" or _OPEN.fullmatch(os.path.abspath(path)):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_output(path: Path, *, database: bool = False) -> None:
    """Raise `InputError` where a file must not or cannot be written: a directory, a catalogue, the log of one."""
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise InputError(f"'{path}' is a directory: name a file to write")
    if not place.parent.is_dir():
        raise InputError(f"cannot write '{path}': there is no directory '{place.parent}'")
    for end in ("", *LOG_ENDS):
        of = place.with_name(place.name.removesuffix(end))
        if place.name.endswith(end) and place.name != end and _is_kept(of, database=database and not end):
            raise InputError(f"'{path}' belongs to a catalogue, and would be destroyed: name another file to write")


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def check_replaceable(path: Path) -> None:
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


def _is_kept(place: Path, *, database: bool) -> bool:
    """Whether a file is a catalogue: one that was opened here, or, unless ``database``, any SQLite file."""
    try:
        found = place.stat()
    except OSError:
        return False
    for kept in _kept:
        with suppress(OSError):
            if os.path.samestat(found, kept.stat()):
                return True
    if database or not stat.S_ISREG(found.st_mode):
        return False
    try:
        with place.open("rb") as file:  # none that this process has open: its locks would end
            return file.read(len(SQLITE)) == SQLITE
    except OSError:
        return False


def _pour(partial: Path, path: Path) -> None:
    """Write a finished file into a device or a pipe, or to standard output."""
    with partial.open("rb") as source:
        if str(path) == "-":
            sys.stdout.flush()
            shutil.copyfileobj(source, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with path.open("r+b" if path.is_block_device() else "wb", buffering=0) as target:
                shutil.copyfileobj(source, target)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one line what keeps a file from being written: no room, no permission."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error


class Partial:
    """A file or folder that nobody else knows of. It is removed at the end if it is still there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = _locked(path)

    @property
    def held(self) -> bool:
        """Nobody took it for left and removed it, before it was locked."""
        return self._lock is None or (self.path.exists() and os.path.samestat(os.fstat(self._lock), self.path.stat()))

    def publish(self) -> None:
        """Give it the permissions of a new file or folder, and let go of the lock: it is about to get its name."""
        self.path.chmod((0o777 if self.path.is_dir() else 0o666) & ~_umask())
        self.let_go()

    def let_go(self) -> None:
        """Release the lock, and close its descriptor."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


@contextmanager
def partial_file(place: Path) -> Iterator[Partial]:
    """An empty private file beside ``place``, ``.NAME.*.partial``. Raises OSError when it cannot be made."""
    yield from _made(place, folder=False)


@contextmanager
def partial_folder(place: Path) -> Iterator[Partial]:
    """An empty private folder beside ``place``, likewise."""
    yield from _made(place, folder=True)


def _made(place: Path, folder: bool) -> Iterator[Partial]:
    _remove_left(place)
    while True:
        if folder:
            name = tempfile.mkdtemp(".partial", _start(place), place.parent)
        else:
            handle, name = tempfile.mkstemp(".partial", _start(place), place.parent)
            os.close(handle)
        partial = Partial(Path(name))
        if partial.held:
            break
        partial.let_go()
    try:
        yield partial
    finally:
        partial.let_go()
        _remove(partial.path)


def _start(place: Path) -> str:
    return f".{place.name[:200]}."


def _remove_left(place: Path) -> None:
    """Remove what processes that were killed left beside a place."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        for left in place.parent.iterdir():
            if left.name.startswith(_start(place)) and left.name.endswith(".partial") and not left.is_symlink():
                lock = _locked(left)
                if lock is not None:
                    _remove(left)
                    os.close(lock)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock of a file or folder; None while another process holds it."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
