"""Who gets in: raters by a code, the owner by a password. Neither is stored, only what proves them.

A code has 100 random bits, so that its plain SHA-256 cannot be turned back, and finds its rater by an index. A password
is chosen by a person, so it is stored as scrypt with salt. It is kept in the catalogue (``catalogue_info``), not in a
file beside it: a catalogue on PostgreSQL has no beside, and several servers share one catalogue. Failed attempts are
counted in the memory of the process: guessing 100 bits is hopeless at any rate, and what protects a password is the
price of scrypt and a limit that an attacker cannot get rid of without restarting the server; in the database, every
guess by a stranger would be a write.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable

from sqlalchemy import Engine, bindparam, delete, insert, select

from annotations import schema
from annotations.records import Rater
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.schema import catalogue_info
from describe.errors import InputError

__all__ = [
    "LINK_PARAMETER",
    "Attempts",
    "code_hash",
    "find_rater",
    "has_password",
    "link",
    "new_code",
    "set_password",
    "verify_password",
]

LINK_PARAMETER = "code"
"""The query parameter of a personal link."""

SHORTEST_PASSWORD = 12
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_MISREAD = str.maketrans("ILO", "110", "- \t\r\n")
_PASSWORD = "owner_password"  # noqa: S105  (the key it is stored under)
_N, _R, _P = 2**15, 8, 1  # 32 MiB, tens of milliseconds

_RATERS = schema.study_rater
_LET_IN = select(_RATERS.c.id, _RATERS.c.study_id, _RATERS.c.pseudonym).where(
    _RATERS.c.code_hash == bindparam("hash"), _RATERS.c.revoked.is_(None)
)
"""Asked at every click of a rater, and so put together once."""


def new_code() -> str:
    """A code of 100 random bits, in four groups of five characters that cannot be mistaken for each other."""
    signs = "".join(secrets.choice(_ALPHABET) for _ in range(20))
    return "-".join(signs[i : i + 5] for i in range(0, 20, 5))


def code_hash(code: str) -> str:
    """What is stored of a code. Case, spaces, dashes, and O for 0 or I and L for 1 make no difference."""
    return hashlib.sha256(code.upper().translate(_MISREAD).encode("utf-8", "backslashreplace")).hexdigest()


def link(base_url: str, code: str) -> str:
    """The personal link of a rater."""
    return f"{base_url.rstrip('/')}/?{LINK_PARAMETER}={code}"


def find_rater(catalogue: Catalogue, code: str) -> Rater | None:
    """Who has this code; None for an unknown or revoked one. Ask `Attempts` first."""
    with catalogue.engine.connect() as connection:
        row = connection.execute(_LET_IN, {"hash": code_hash(code)}).first()
    return None if row is None else Rater(*row)


def set_password(catalogue: Catalogue, password: str) -> None:
    """Set the owner's password. Raises `InputError` for one of fewer than 12 characters."""
    if len(password) < SHORTEST_PASSWORD:
        raise InputError(f"the password has {len(password)} characters: use at least {SHORTEST_PASSWORD}")
    salt = secrets.token_bytes(16)
    stored = "$".join(["scrypt", str(_N), str(_R), str(_P), _text(salt), _text(_scrypt(password, salt, _N, _R, _P))])
    with begin_write(catalogue.engine) as connection:
        connection.execute(delete(catalogue_info).where(catalogue_info.c.key == _PASSWORD))
        connection.execute(insert(catalogue_info).values(key=_PASSWORD, value=stored))


def has_password(catalogue: Catalogue) -> bool:
    """Whether the owner's password is set."""
    return _stored(catalogue.engine) is not None


def verify_password(catalogue: Catalogue, password: str) -> bool:
    """Whether this is the owner's password; False when none is set. Ask `Attempts` first."""
    stored = _stored(catalogue.engine)
    if stored is None:
        return False
    _, n, r, p, salt, digest = stored.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


class Attempts:
    """Failed attempts to get in, per client and, where asked for, in all. One in a server process, safe among threads.

    ``allowed`` before every attempt, ``failed`` after one that failed. After ``limit`` failures of a client, or
    ``in_all`` of all clients, within ``window`` seconds, even what is right is refused for a while. For codes leave
    ``in_all`` out: they cannot be guessed, and strangers could keep all raters out. For the password set it.
    """

    def __init__(
        self,
        limit: int = 10,
        in_all: int | None = None,
        window: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._in_all, self._window, self._clock = limit, in_all, window, clock
        self._failures: deque[tuple[float, str]] = deque(maxlen=10_000)
        self._lock = threading.Lock()

    def allowed(self, client: str) -> bool:
        """Whether this client may try now."""
        with self._lock:
            while self._failures and self._failures[0][0] <= self._clock() - self._window:
                self._failures.popleft()
            own = sum(who == client for _, who in self._failures)
            return own < self._limit and (self._in_all is None or len(self._failures) < self._in_all)

    def failed(self, client: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failures.append((self._clock(), client))


def _stored(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return connection.execute(select(catalogue_info.c.value).where(catalogue_info.c.key == _PASSWORD)).scalar()


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "backslashreplace")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r * p)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
