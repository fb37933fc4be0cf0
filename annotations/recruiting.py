"""Raters who enter themselves: one link for all, with a cap, for platforms such as Prolific that send people.

Opening the link makes nobody a rater: agreeing does, under the lock of the study, so that no two take the last place.
The personal code of who comes with a long id, or again with the same browser, is made from the link's code and that, so
that they find their own items again, whichever process or tab they come to. An id that could be guessed (shorter than
`LONG_ID`) leads back only the browser that came with it first.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from annotations import log, schema
from annotations.access import code_form, code_from, code_hash, find_rater, new_code
from annotations.assignment import left
from annotations.records import Invitation, Rater, Study
from annotations.storage import add_rater, locked, study_from
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.rows import aware, now
from describe.errors import InputError

__all__ = [
    "JOIN_PARAMETER",
    "MOST_RATERS",
    "Recruiting",
    "close_recruiting",
    "enrol",
    "find_link",
    "joined",
    "places_left",
]
__all__ += ["recruit", "recruiting_link", "recruiting_of"]

JOIN_PARAMETER = "join"
"""The query parameter of the link for all."""

LONG_ID = 16
"""An id of so many characters is not guessed by who knows others."""

MOST_RATERS = 1000

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_OURS = ("code", JOIN_PARAMETER, "token")


@dataclass(frozen=True, slots=True)
class Recruiting:
    """How raters enter a study by themselves.

    Attributes:
        cap: so many raters at most; those shut out, or who failed the check, leave their place to others.
        id_parameter: of the address, in which a platform passes on who comes; None: nobody is asked.
        completion_code: what raters hand to the platform at the end, shown to nobody before.
        return_url: where raters go at the end.
        open: whether raters may enter.
    """

    cap: int
    id_parameter: str | None = None
    completion_code: str | None = None
    return_url: str | None = None
    open: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.cap <= MOST_RATERS:
            raise InputError(f"a cap of {self.cap} raters: it goes from 1 to {MOST_RATERS:,}")
        if self.id_parameter and (not _PARAMETER.fullmatch(self.id_parameter) or self.id_parameter in _OURS):
            raise InputError(f"'{self.id_parameter}' cannot be the parameter of an id, such as PROLIFIC_PID is")
        if self.completion_code and (len(self.completion_code) > 128 or not self.completion_code.isprintable()):
            raise InputError("a completion code has up to 128 printable characters")
        if self.return_url:
            _check_url(self.return_url)


def recruit(catalogue: Catalogue, study: Study, how: Recruiting, *, new_link: bool = False) -> str | None:
    """Let raters enter by one link, or change how; the link's code where it is new, else None.

    The code is in the result and nowhere else; a new one ends the link before it, and no personal link.
    """
    table = schema.study_recruitment
    given = {"cap": how.cap, "id_parameter": how.id_parameter or None, "closed": None if how.open else now()}
    given |= {"completion_code": how.completion_code or None, "return_url": how.return_url or None}
    with begin_write(catalogue.engine) as connection:
        row = locked(connection, study)
        there = connection.execute(select(table.c.id).where(table.c.study_id == study.id)).scalar()
        code = new_code() if there is None or new_link else None
        if code is not None:
            given["code_hash"] = code_hash(code)
        if there is None:
            connection.execute(insert(table).values(study_id=study.id, created=now(), **given))
        else:
            connection.execute(update(table).where(table.c.id == there).values(**given))
        log.add(connection, row, "recruiting", now(), payload={"cap": how.cap, "open": how.open})
    return code


def recruiting_of(catalogue: Catalogue, study_id: int) -> Recruiting | None:
    """How raters enter a study by themselves; None where they do not."""
    table = schema.study_recruitment
    with catalogue.engine.connect() as connection:
        row = connection.execute(select(table).where(table.c.study_id == study_id)).first()
    return None if row is None else _recruiting(row)


def close_recruiting(catalogue: Catalogue, study: Study) -> None:
    """Let nobody else enter; who is in goes on. Raises `InputError` where there is no link."""
    table = schema.study_recruitment
    with begin_write(catalogue.engine) as connection:
        row = locked(connection, study)
        closed = update(table).where(table.c.study_id == study.id, table.c.closed.is_(None)).values(closed=now())
        if connection.execute(closed).rowcount:
            log.add(connection, row, "recruiting", now(), payload={"open": False})
        elif recruiting_of(catalogue, study.id) is None:
            raise InputError(f"study '{study.name}' has no link by which raters enter themselves")


def recruiting_link(base_url: str, code: str, how: Recruiting) -> str:
    """The link for all. A platform puts the id of who comes in the place of ``{{%...%}}``, as Prolific writes it."""
    start = f"{base_url.rstrip('/')}/?{JOIN_PARAMETER}={code}"
    if how.id_parameter is None:
        return start
    filled = "{{%PROLIFIC_PID%}}" if how.id_parameter == "PROLIFIC_PID" else "ID"
    return f"{start}&{how.id_parameter}={filled}"


def find_link(catalogue: Catalogue, code: str) -> tuple[Study, Recruiting] | None:
    """The study whose link has this code, and how raters enter it; None for an unknown one."""
    table = schema.study_recruitment
    with catalogue.engine.connect() as connection:
        row = connection.execute(select(table).where(table.c.code_hash == code_hash(code))).first()
        if row is None:
            return None
        return study_from(connection, row.study_id), _recruiting(row)


def places_left(catalogue: Catalogue, study: Study) -> tuple[int, int]:
    """How many more raters may enter by the link, and how many items there are for a new one."""
    with catalogue.engine.connect() as connection:
        table = schema.study_recruitment
        row = connection.execute(select(table).where(table.c.study_id == study.id)).one()
        return _room(connection, row), _items(connection, study)


def joined(catalogue: Catalogue, code: str, external_id: str | None, browser: str) -> Rater | None:
    """The rater that this visitor is already, if they are one."""
    personal = _personal_code(code, external_id, browser)
    return None if personal is None else find_rater(catalogue, personal)


def enrol(catalogue: Catalogue, code: str, external_id: str | None, browser: str) -> Invitation:
    """Enter a rater by the link, or find the one that this visitor is already, with their personal code.

    ``external_id``: as the platform passed it on; ``browser``: its name, of 24 random bytes, or nothing. Raises
    `InputError`, in words for the rater, where they cannot enter.
    """
    table, rater = schema.study_recruitment, schema.study_rater
    personal = _personal_code(code, external_id, browser) or new_code()
    try:
        with begin_write(catalogue.engine) as connection:
            found = connection.execute(select(table).where(table.c.code_hash == code_hash(code))).first()
            if found is None:
                raise InputError("This link is not known, or not valid any more. Ask who gave it to you.")
            study = locked(connection, study_from(connection, found.study_id))
            how = connection.execute(select(table).where(table.c.id == found.id)).one()  # as it is under the lock
            given = _checked_id(how, external_id)
            mine = connection.execute(select(rater).where(rater.c.code_hash == code_hash(personal))).first()
            if mine is None:
                _refuse(connection, study, how, given)
                entered = add_rater(connection, study.id, personal, external_id=given, recruited=True)
                log.add(connection, study, "recruited", now(), rater_id=entered.id)
                return Invitation(entered, personal)
            if mine.revoked is not None:
                raise InputError("You cannot take part in this study any more. Ask who gave you the link.")
            return Invitation(Rater(mine.id, mine.study_id, mine.pseudonym), personal)
    except IntegrityError as error:
        raise InputError("This participant's id has taken part already.") from error


def _personal_code(code: str, external_id: str | None, browser: str) -> str | None:
    """The code that this visitor has every time; None where nothing tells them from others."""
    if external_id is not None and len(external_id) >= LONG_ID:
        who = f"id {external_id}"
    elif browser:
        who = f"browser {browser} {external_id or ''}"
    else:
        return None
    key = code_form(code).encode("utf-8", "backslashreplace")
    return code_from(hmac.new(key, who.encode("utf-8", "backslashreplace"), hashlib.sha256).digest())


def _checked_id(how: Row[tuple[object, ...]], external_id: str | None) -> str | None:
    """The id to keep. Raises `InputError` for one that is missing or that no platform gives."""
    if how.id_parameter is None:
        return None
    if not external_id:
        raise InputError(f"The link lacks your id ({how.id_parameter}). Open it from where you found the study.")
    if not _ID.fullmatch(external_id):
        raise InputError(f"The id in the link ({how.id_parameter}) is none. Open it from where you found the study.")
    return external_id


def _refuse(
    connection: Connection, study: Row[tuple[object, ...]], how: Row[tuple[object, ...]], given: str | None
) -> None:
    """Raise `InputError` where nobody can enter, or not under this id."""
    rater = schema.study_rater
    if how.closed is not None or study.stopped is not None or study.archived is not None:
        raise InputError("This study takes nobody else any more. Thank you for your interest!")
    taken = select(rater.c.id).where(rater.c.study_id == study.id, rater.c.external_id == given)
    if given is not None and connection.execute(taken).first() is not None:
        raise InputError("This id has taken part already: go on in the browser, or by the link, you began with.")
    if _room(connection, how) < 1 or left(connection, study.id, -1) < 1:
        raise InputError("All places of this study are taken. Thank you for your interest!")


def _room(connection: Connection, how: Row[tuple[object, ...]]) -> int:
    rater = schema.study_rater
    entered = (
        select(func.count())
        .select_from(rater)
        .where(rater.c.study_id == how.study_id, rater.c.recruited, rater.c.revoked.is_(None))
        .where(rater.c.screened_out.is_(None))
    )
    room: int = how.cap - connection.execute(entered).scalar_one()
    return room if room > 0 else 0


def _items(connection: Connection, study: Study) -> int:
    """How many items a new rater gets, repeats included."""
    most = study.settings["items_per_rater"]
    items = left(connection, study.id, -1)
    items = items if most is None else min(items, most)
    again: int = round(items * study.settings["repeats"])
    return items + again


def _recruiting(row: Row[tuple[object, ...]]) -> Recruiting:
    closed = row.closed is not None and aware(row.closed)
    return Recruiting(row.cap, row.id_parameter, row.completion_code, row.return_url, not closed)


def _check_url(url: str) -> None:
    """Raise `InputError` for what is no address that a rater may be sent to."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if (
        not host
        or parts.scheme != "https"
        or len(url) > 1024
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise InputError("the address to return to begins with https:// and names a host, such as Prolific's")
