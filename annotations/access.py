"""Who gets in: raters by a code, the owner by a password. Neither is stored, only what proves them.

A code has 100 random bits, so that its plain SHA-256 cannot be turned back, and finds its rater by an index. A password
is chosen by a person, so it is stored as scrypt with salt. It is kept in the catalogue (``catalogue_info``), not in a
file beside it: a catalogue on PostgreSQL has no beside, and several servers share one catalogue. Guessing 100 bits is
hopeless at any rate, so that a right code is always let in. A password is protected by the price of scrypt and a limit
to failed attempts, which are counted in the memory of the process: in the database, every guess by a stranger would be
a write.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
import unicodedata
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
    "LONGEST_PASSWORD",
    "Attempts",
    "PasswordAttempts",
    "code_form",
    "code_from",
    "code_hash",
    "find_rater",
    "has_password",
    "link",
    "new_code",
    "password_mark",
    "set_password",
    "verify_password",
]

LINK_PARAMETER = "code"
"""The query parameter of a personal link."""

SHORTEST_PASSWORD = 12

LONGEST_PASSWORD = 4096
"""Limits of the field, in the units that browsers count."""

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
    return code_from(secrets.token_bytes(20))


def code_from(entropy: bytes) -> str:
    """The code of at least 20 bytes that nobody can guess: five bits of each are a character."""
    signs = "".join(_ALPHABET[byte % 32] for byte in entropy[:20])
    return "-".join(signs[i : i + 5] for i in range(0, 20, 5))


def code_form(code: str) -> str:
    """A code as it is compared, however it was entered."""
    return code.upper().translate(_MISREAD)


def code_hash(code: str) -> str:
    """The stored form of a code. Case, spaces, dashes, and O for 0 or I and L for 1 make no difference."""
    return hashlib.sha256(code_form(code).encode("utf-8", "backslashreplace")).hexdigest()


def link(base_url: str, code: str) -> str:
    """The personal link of a rater."""
    return f"{base_url.rstrip('/')}/?{LINK_PARAMETER}={code}"


def find_rater(catalogue: Catalogue, code: str) -> Rater | None:
    """Who has this code; None for an unknown or revoked one."""
    with catalogue.engine.connect() as connection:
        row = connection.execute(_LET_IN, {"hash": code_hash(code)}).first()
    return None if row is None else Rater(*row)


def set_password(catalogue: Catalogue, password: str) -> None:
    """Set the owner's password; whoever signed in with another is signed out.

    Raises `InputError` for one of fewer than 12 characters, of blanks, or that cannot be entered in a field.
    """
    password = unicodedata.normalize("NFC", password)
    _check_password(password)
    salt = secrets.token_bytes(16)
    stored = "$".join(["scrypt", str(_N), str(_R), str(_P), _text(salt), _text(_scrypt(password, salt, _N, _R, _P))])
    with begin_write(catalogue.engine) as connection:
        connection.execute(delete(catalogue_info).where(catalogue_info.c.key == _PASSWORD))
        connection.execute(insert(catalogue_info).values(key=_PASSWORD, value=stored))


def _check_password(password: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise InputError(f"the password has {len(password)} characters: use at least {SHORTEST_PASSWORD}")
    if _entered(password) > LONGEST_PASSWORD:
        raise InputError(f"the password is too long: a field takes {LONGEST_PASSWORD} characters")
    if not password.strip():
        raise InputError("the password is blank")
    if any(unicodedata.category(sign) == "Cc" for sign in password):
        raise InputError("the password has characters that cannot be entered in a field")


def _entered(password: str) -> int:
    """The length of a password in a browser's field, on a system that enters accents as characters of their own."""
    return len(unicodedata.normalize("NFD", password).encode("utf-16-le", "surrogatepass")) // 2


def has_password(catalogue: Catalogue) -> bool:
    """Whether the owner's password is set."""
    return _stored(catalogue.engine) is not None


def password_mark(catalogue: Catalogue) -> str | None:
    """A mark that tells this owner's password from any other, and from the same set again; None when none is set."""
    stored = _stored(catalogue.engine)
    return None if stored is None else hashlib.sha256(stored.encode()).hexdigest()


def verify_password(catalogue: Catalogue, password: str) -> bool:
    """Whether this is the owner's password; False when none is set. Ask `PasswordAttempts` first.

    Systems differ in how they enter accents. A password is stored as NFC; those stored by older versions are as they
    were entered.
    """
    stored = _stored(catalogue.engine)
    if stored is None or _entered(password) > LONGEST_PASSWORD:
        return False
    _, n, r, p, salt, digest = stored.split("$")
    forms = (unicodedata.normalize("NFC", password), password, unicodedata.normalize("NFD", password))
    return any(
        hmac.compare_digest(_scrypt(form, base64.b64decode(salt), int(n), int(r), int(p)), base64.b64decode(digest))
        for form in dict.fromkeys(forms)
    )


class Attempts:
    """Failed attempts to get in, per client and, where asked for, in all. One in a server process, safe among threads.

    ``allowed`` before every attempt, ``failed`` after one that failed. After ``limit`` failures of a client, or
    ``in_all`` of all clients, within ``window`` seconds, no more is allowed for a while.
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


class PasswordAttempts:
    """Failed attempts with the owner's password. One in a server process, safe among threads.

    Strangers' count per address and in all, and after too many even the right password is refused. Those of a browser
    that signed in before count for that browser alone, so that strangers cannot keep the owner out of it.
    """

    def __init__(self, limit: int = 10, in_all: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._strangers = Attempts(limit, in_all, clock=clock)
        self._browsers = Attempts(limit, clock=clock)
        self._known: deque[str] = deque(maxlen=1000)

    def allowed(self, address: str, browser: str) -> bool:
        """Whether this browser at this address may try now; ``browser`` is empty where it has no name."""
        return self._browsers.allowed(browser) if browser in self._known else self._strangers.allowed(address)

    def failed(self, address: str, browser: str) -> None:
        """Count a failure."""
        if browser in self._known:
            self._browsers.failed(browser)
        else:
            self._strangers.failed(address)

    def succeeded(self, browser: str) -> None:
        """The owner signed in with this browser."""
        if browser and browser not in self._known:
            self._known.append(browser)


def _stored(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return connection.execute(select(catalogue_info.c.value).where(catalogue_info.c.key == _PASSWORD)).scalar()


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "backslashreplace")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r * p)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
