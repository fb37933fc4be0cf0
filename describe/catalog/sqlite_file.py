"""The SQLite file of a catalogue: opened by SQLite alone, and known again before each write.

No other descriptor is ever opened on it: closing one would end all locks that this process has on the file, and the
next process to close it would delete the write-ahead log under us (https://sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from sqlalchemy.engine import URL

from describe.errors import CatalogueError
from describe.files import keep_from_outputs, partial_file
from describe.text import shortened

__all__ = ["CatalogueMadeError", "SqliteFile", "path_of"]

LARGEST_CHECKED = 100 * 2**20
"""Bytes of a file that is read through after another process changed it: some 0.1 s for the demo catalogue's 13 MB."""

Identity = tuple[int, int]
"""Device and inode."""

_inherited: set[Identity] = set()
"""Files that the process had open from which this one was forked."""


class CatalogueMadeError(CatalogueError):
    """Another process made the catalogue while this one was about to: the same is to be done again, in that one."""


class SqliteFile:
    """Where a catalogue's file is, and which file that was when it was opened.

    Args:
        where: as the user wrote it.
        path: of the file, absolute; it may be a symbolic link.
        create: begin with an empty catalogue where there is none. The file comes into being with the first thing that
            is committed, so that a command which is refused leaves nothing, and never has to delete.

    ``read_only``: what is opened from now on writes nothing.
    """

    def __init__(self, where: str, path: Path, create: bool) -> None:
        self.where, self.path, self.create = where, path, create
        self.identity = self._found()
        keep_from_outputs(path)
        self._seen = self._state()
        self._sound = True
        self.read_only = False
        if self.identity is None:
            self._check_can_be_made()
        else:
            self._check_same(self.identity)

    @property
    def can_be_written(self) -> bool:
        """Whether this user may write to the file, and make SQLite's own files beside it."""
        return os.access(self._real, os.W_OK) and os.access(self._real.parent, os.W_OK)

    @property
    def log_out_of_reach(self) -> bool:
        """Whether there is a log, but not the index that SQLite reads it by, nor a folder to make that in."""
        index = Path(f"{self._real}-shm")
        return self._is_logged and not (os.access(self._real.parent, os.W_OK) or os.access(index, os.R_OK))

    @contextmanager
    def copied(self) -> Iterator[Path]:
        """A copy in a folder of its own, for as long as the block lasts.

        Raises `CatalogueError` where the files of a log out of reach cannot be read, or change meanwhile.
        """
        with TemporaryDirectory(prefix="headscribe-") as folder:
            copy = Path(folder) / self._real.name
            if self.log_out_of_reach:
                self._copy_with_log(copy)
            else:
                with closing(self._another()) as connection:
                    connection.execute("VACUUM INTO ?", (str(copy),))
            yield copy

    @property
    def missing(self) -> bool:
        """Nothing was committed yet."""
        return self.identity is None and self._found() is None

    def is_same(self, other: SqliteFile) -> bool:
        """Whether both are one file, under whatever names; of files not there yet: one place."""
        if self.identity is None or other.identity is None:
            return self.identity == other.identity and self._real == other._real
        return self.identity == other.identity

    def connect(self, dialect: Any, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
        """A new connection, by what SQLAlchemy's event ``do_connect`` tells of it.

        Raises `CatalogueError` when the file is not the one that was opened at first.
        """
        found = self._found()
        if self.identity is None:
            self.identity, self._seen = found, self._state()
        self._check_same(found)
        address = arguments[0] if options.get("uri") else self._address()
        return dialect.connect(address, **options | {"uri": True})  # type: ignore[no-any-return]

    def check(self, beginning: sqlite3.Connection | None = None) -> None:
        """Raise `CatalogueError` when what would be written now would be lost.

        The file is gone or another is in its place; or another program wrote into it past SQLite, as ``cp`` does. The
        latter is looked for where the file was changed since our last write, and not by us: it must not have shrunk,
        it must be what the connection that begins to write remembers, and one of up to `LARGEST_CHECKED` bytes must be
        whole.
        """
        self._check_same(self._found())
        state = self._state()
        if state != self._seen:
            grown, small = state[1] >= self._seen[1], state[1] <= LARGEST_CHECKED
            known = beginning is None or self._is_remembered(beginning)
            self._sound = grown and known and (not small or self._is_whole())
            if self._sound:
                self._seen = state
        if not self._sound:
            raise CatalogueError(
                f"the catalogue '{self.where}' was written over by another program while it is in use here:"
                f" nothing was saved; {self._mend}"
            )

    def wrote(self) -> None:
        """Note that the file is as our own transaction left it."""
        if self._sound:
            self._seen = self._state()

    @contextmanager
    def founding(self) -> Iterator[Path]:
        """A private file that becomes the catalogue when the block ends well: whole, or not at all.

        Raises `CatalogueMadeError` when there is one by then, `CatalogueError` when it cannot be made.
        """
        place = self._real
        try:
            with partial_file(place) as partial:
                yield partial.path
                with closing(sqlite3.connect(partial.path)) as connection:
                    connection.execute("PRAGMA journal_mode = WAL")  # kept in the file
                partial.publish()
                _give_name(partial.path, place)
        except FileExistsError:
            raise CatalogueMadeError(f"another process made '{self.where}' just now: run the same again") from None
        except OSError as error:
            raise CatalogueError(f"cannot make the catalogue '{self.where}': {error.strerror or error}") from error

    @property
    def _real(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _found(self) -> Identity | None:
        try:
            found = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:  # a name with a NUL is no name
            said = getattr(error, "strerror", error)
            raise CatalogueError(f"cannot open the catalogue '{shortened(self.where)}': {said}") from error
        if stat.S_ISDIR(found.st_mode):
            raise CatalogueError(f"'{self.where}' is a directory: name a file for the catalogue")
        if not stat.S_ISREG(found.st_mode):
            raise CatalogueError(f"'{self.where}' is no file, but a device or a pipe: name a file for the catalogue")
        return found.st_dev, found.st_ino

    def _state(self) -> tuple[int, int]:
        """When the file was last changed, and its size. SQLite itself changes it when it empties its log into it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_size

    def _check_same(self, found: Identity | None) -> None:
        if self.identity in _inherited:
            raise CatalogueError(
                f"the catalogue '{self.where}' was open in the process that this one was forked from, and cannot be"
                " used here: start a process anew (multiprocessing's 'spawn')"
            )
        if found != self.identity:
            what = "is gone" if found is None else "is another file now"
            raise CatalogueError(
                f"the catalogue '{self.where}' {what}, not the one that was opened here: nothing was saved;"
                f" {self._mend}"
            )

    @property
    def _mend(self) -> str:
        """Advice: SQLite would take the log that is left for that of the file in the catalogue's place."""
        name = self._real.name
        return f"end this, remove '{name}-wal' and '{name}-shm', and put the right file in its place (docs/security.md)"

    def _check_can_be_made(self) -> None:
        parent = self._real.parent
        if not self.create:
            raise CatalogueError(f"there is no catalogue '{self.where}' yet: headscribe extract MODEL makes one")
        if not parent.is_dir():
            raise CatalogueError(f"cannot make the catalogue '{self.where}': there is no directory '{parent}'")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise CatalogueError(f"cannot make the catalogue '{self.where}': '{parent}' cannot be written to")

    @property
    def _log(self) -> Path:
        return Path(f"{self._real}-wal")

    @property
    def _is_logged(self) -> bool:
        """Whether anything is in the log, which SQLite did not take into the file yet."""
        with suppress(OSError):
            return self._log.stat().st_size > 0
        return False

    def _copy_with_log(self, copy: Path) -> None:
        """Copy file and log byte by byte. This process has no lock on them to lose: SQLite cannot open them."""
        copies = {self._real: copy, self._log: Path(f"{copy}-wal")}
        try:
            before = [(about.st_mtime_ns, about.st_size) for about in map(os.stat, copies)]
            for one, other in copies.items():
                shutil.copyfile(one, other)
            after = [(about.st_mtime_ns, about.st_size) for about in map(os.stat, copies)]
        except OSError as error:
            raise CatalogueError(
                f"cannot read the catalogue '{self.where}' with its log '{self._log.name}', in a folder that cannot be"
                f" written to: {error.strerror or error}"
            ) from error
        if before != after:
            raise CatalogueError(f"the catalogue '{self.where}' is being written to: run the same again")

    def _address(self) -> str:
        """A URI by which SQLite opens the file, and never makes one.

        In a folder that cannot be written to, where SQLite cannot make the files of its log, for reading only.
        """
        how = "mode=rw"
        if self.read_only:
            how = "mode=ro"
        elif not os.access(self._real.parent, os.W_OK) and not self._is_logged:
            how = "mode=ro&immutable=1"
        return f"{self.path.as_uri()}?{how}"

    def _is_remembered(self, connection: sqlite3.Connection) -> bool:
        """Whether the schema has the number that this connection knows.

        Copies by ``VACUUM INTO``, such as our backups, have another. Of a change by SQLite a connection hears.
        """
        with suppress(sqlite3.DatabaseError), closing(self._another()) as other:
            for _ in range(2):  # the number may change in between
                known, found = (one.execute("PRAGMA schema_version").fetchone() for one in (connection, other))
                if known == found:
                    return True
        return False

    def _another(self) -> sqlite3.Connection:
        """A connection without a memory of the file."""
        return sqlite3.connect(self._address(), uri=True, timeout=60)

    def _is_whole(self) -> bool:
        """Whether a connection without a memory of the file finds all its parts."""
        try:
            with closing(self._another()) as connection:
                return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.DatabaseError:
            return False


def path_of(url: URL) -> Path | None:
    """The file of a SQLite URL, absolute; None for a database in memory, and for another kind of database."""
    place = url.database or ""
    if url.query.get("uri") == "true" and place.startswith("file:"):
        place = unquote(place.removeprefix("file:").partition("?")[0])
    if url.get_backend_name() != "sqlite" or place in ("", ":memory:") or url.query.get("mode") == "memory":
        return None
    return Path(os.path.abspath(place))


def forget_after_fork(open_files: list[SqliteFile]) -> None:
    """In a forked process: these files belong to the one that it was forked from, whose locks it does not have."""
    _inherited.update(file.identity for file in open_files if file.identity is not None)


def _give_name(partial: Path, place: Path) -> None:
    """Raises FileExistsError where there is something already."""
    try:
        os.link(partial, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if place.exists():
            raise FileExistsError from None
        partial.rename(place)
