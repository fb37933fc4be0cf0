"""Studies in the catalogue: entered whole, found again, their raters invited and shut out, stopped and extended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from annotations import log, schema
from annotations.access import code_hash, new_code
from annotations.records import Invitation, Rater, Study
from annotations.seeded import hashed
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.rows import aware, now
from describe.errors import CatalogueError, InputError

__all__ = ["NewItem", "extend", "find_study", "invite", "raters", "revoke", "save_study", "stop", "studies", "study_of"]


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item as it was designed, before it has a number and a block.

    Attributes:
        head: whose table is shown, written ``25.0``; likewise ``layer`` and ``true_unclear``.
        source, unclear, score: of the description that is shown.
        content: what is shown: ``rows`` ([[source, [target, ...]], ...]), ``inputs``, ``pattern``, ``unclear``.
        touches: the heads that the table or the description is of: items that share one are kept far apart.
        origin: how it was made.
    """

    kind: str
    model: str
    head: str
    layer: int
    source: str
    unclear: bool
    true_unclear: bool
    score: float | None
    content: dict[str, Any]
    touches: tuple[str, ...]
    origin: dict[str, Any]
    expected: str | None = None


def save_study(catalogue: Catalogue, fields: dict[str, Any], items: Sequence[tuple[int, NewItem]]) -> Study:
    """Commit a new study and its items, each with its block, all at once. Raises `InputError` for a name in use."""
    moment = now()
    row = {**fields, "settings_hash": hashed(fields["settings"]), "version": 1, "created": moment}
    try:
        with begin_write(catalogue.engine) as connection:
            study_id = connection.execute(insert(schema.study).values(**row)).inserted_primary_key[0]  # type: ignore[index]
            for number, (block, item) in enumerate(items, 1):
                _save_item(connection, study_id, number, block, item, fields["raters_per_item"])
            entered = connection.execute(select(schema.study).where(schema.study.c.id == study_id)).one()
            payload = {"settings_hash": row["settings_hash"], "items": len(items)}
            log.add(connection, entered, "created", moment, payload=payload)
    except IntegrityError as error:
        raise InputError(f"there is a study '{fields['name']}' already: choose another name") from error
    return _study(entered)


def studies(catalogue: Catalogue) -> list[Study]:
    """All studies, in order of entry."""
    with catalogue.engine.connect() as connection:
        return [_study(row) for row in connection.execute(select(schema.study).order_by(schema.study.c.id))]


def find_study(catalogue: Catalogue, name: str | None = None) -> Study:
    """A study by name; without one, the only study. Raises `CatalogueError` when there is none, or no only one."""
    found = studies(catalogue)
    named = [study for study in found if name in (None, study.name)]
    if len(named) == 1:
        return named[0]
    names = ", ".join(study.name for study in found)
    if not found:
        raise CatalogueError("there is no study yet: headscribe study new makes one")
    if name is None:
        raise CatalogueError(f"there are several studies: say which, {names}")
    raise CatalogueError(f"there is no study '{name}'; there are: {names}")


def study_of(catalogue: Catalogue, rater: Rater) -> Study:
    """The study that a rater works on."""
    with catalogue.engine.connect() as connection:
        return _study(connection.execute(select(schema.study).where(schema.study.c.id == rater.study_id)).one())


def raters(catalogue: Catalogue, study: Study) -> list[Rater]:
    """The raters of a study who were not shut out."""
    table = schema.study_rater
    query = select(table.c.id, table.c.study_id, table.c.pseudonym).where(
        table.c.study_id == study.id, table.c.revoked.is_(None)
    )
    with catalogue.engine.connect() as connection:
        return [Rater(*row) for row in connection.execute(query.order_by(table.c.id))]


def invite(catalogue: Catalogue, study: Study, number: int = 1) -> list[Invitation]:
    """Enter new raters. Their codes are in the result and nowhere else."""
    if not 1 <= number <= 1000:
        raise InputError(f"{number} raters cannot be invited at once: 1 to 1000 can")
    table = schema.study_rater
    with begin_write(catalogue.engine) as connection:
        row = _locked(connection, study)
        count = select(func.count()).select_from(table).where(table.c.study_id == study.id)
        before = connection.execute(count).scalar_one()
        invitations = []
        for n in range(before + 1, before + number + 1):
            code, pseudonym = new_code(), f"R{n:02}"
            fields = {"study_id": study.id, "pseudonym": pseudonym, "code_hash": code_hash(code), "practised": 0}
            added = insert(table).values(**fields, created=now()).returning(table.c.id)
            rater_id = connection.execute(added).scalar_one()
            log.add(connection, row, "invited", now(), rater_id=rater_id)
            invitations.append(Invitation(Rater(rater_id, study.id, pseudonym), code))
    return invitations


def revoke(catalogue: Catalogue, study: Study, pseudonym: str) -> None:
    """Shut a rater out. What they hold unanswered goes to others; what they answered stays and counts.

    Raises `InputError` when there is no such rater.
    """
    table, place = schema.study_rater, schema.study_place
    with begin_write(catalogue.engine) as connection:
        row = _locked(connection, study)
        query = select(table).where(table.c.study_id == study.id, table.c.pseudonym == pseudonym.upper())
        rater = connection.execute(query.with_for_update(key_share=True)).first()
        if rater is None:
            raise InputError(f"study '{study.name}' has no rater '{pseudonym}'")
        if rater.revoked is None:
            connection.execute(update(table).where(table.c.id == rater.id).values(revoked=now()))
            held = (place.c.rater_id == rater.id, place.c.answered.is_(None))
            connection.execute(update(place).where(*held).values(rater_id=None, leased_until=None))
            log.add(connection, row, "revoked", now(), rater_id=rater.id)


def stop(catalogue: Catalogue, study: Study) -> Study:
    """Give out no more items. What raters have before them they can still answer, and go back to."""
    with begin_write(catalogue.engine) as connection:
        row = _locked(connection, study)
        if row.stopped is None:
            connection.execute(update(schema.study).where(schema.study.c.id == study.id).values(stopped=now()))
            log.add(connection, row, "stopped", now())
        return _study(_locked(connection, study))


def extend(catalogue: Catalogue, study: Study, raters_per_item: int) -> Study:
    """Want more raters per item, or go on with a stopped study. Raises `InputError` for fewer than before."""
    table, place, item = schema.study, schema.study_place, schema.study_item
    with begin_write(catalogue.engine) as connection:
        row = _locked(connection, study)
        if not row.raters_per_item <= raters_per_item <= 1000:
            raise InputError(
                f"{raters_per_item} raters per item: study '{study.name}' has {row.raters_per_item}, and can only"
                " have more (1000 at most)"
            )
        changed = {"raters_per_item": raters_per_item, "version": row.version + 1, "stopped": None}
        connection.execute(update(table).where(table.c.id == study.id).values(**changed))
        new = range(row.raters_per_item + 1, raters_per_item + 1)
        for item_id in connection.execute(select(item.c.id).where(item.c.study_id == study.id)).scalars().all():
            for number in new:
                connection.execute(insert(place).values(item_id=item_id, number=number))
        entered = _locked(connection, study)
        log.add(connection, entered, "extended", now(), payload={"raters_per_item": raters_per_item})
    return _study(entered)


def _save_item(
    connection: Connection, study_id: int, number: int, block: int, item: NewItem, raters_per_item: int
) -> None:
    fields = {name: getattr(item, name) for name in NewItem.__dataclass_fields__}
    fields |= {"touches": list(item.touches), "content_hash": hashed(item.content)}
    row = insert(schema.study_item).values(study_id=study_id, number=number, block=block, **fields)
    item_id = connection.execute(row).inserted_primary_key[0]  # type: ignore[index]
    places = [{"item_id": item_id, "number": place} for place in range(1, raters_per_item + 1)]
    connection.execute(insert(schema.study_place), places)


def _locked(connection: Connection, study: Study) -> Row[Any]:
    """The study's row as it is now, held against other owners."""
    return connection.execute(
        select(schema.study).where(schema.study.c.id == study.id).with_for_update(key_share=True)
    ).one()


def _study(row: Row[Any]) -> Study:
    fields = {name: getattr(row, name) for name in Study.__dataclass_fields__}
    stopped = None if row.stopped is None else aware(row.stopped)
    return Study(**fields | {"models": tuple(row.models), "created": aware(row.created), "stopped": stopped})
