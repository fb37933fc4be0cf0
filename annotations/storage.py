"""Studies in the catalogue: entered whole, found again, raters invited and shut out, stopped, extended, put away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy import delete as sqlalchemy_delete
from sqlalchemy.exc import IntegrityError

from annotations import log, schema
from annotations.access import code_hash, new_code
from annotations.records import Invitation, Rater, Study
from annotations.seeded import hashed
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.rows import aware, now
from describe.errors import CatalogueError, InputError

__all__ = ["NewItem", "add_rater", "archive", "delete", "extend", "find_study", "invite", "locked", "raters", "revoke"]
__all__ += ["save_study", "stop", "studies", "study_from", "study_of"]


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


def studies(catalogue: Catalogue, *, archived: bool = False) -> list[Study]:
    """All studies, in order of entry; those put away only if asked for."""
    query = select(schema.study).order_by(schema.study.c.id)
    if not archived:
        query = query.where(schema.study.c.archived.is_(None))
    with catalogue.engine.connect() as connection:
        return [_study(row) for row in connection.execute(query)]


def find_study(catalogue: Catalogue, name: str | None = None) -> Study:
    """A study by name, put away or not; without one, the only study that is not.

    Raises `CatalogueError` when there is none, or no only one.
    """
    found = studies(catalogue, archived=name is not None)
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
        return study_from(connection, rater.study_id)


def study_from(connection: Connection, study_id: int) -> Study:
    """A study by its id."""
    return _study(connection.execute(select(schema.study).where(schema.study.c.id == study_id)).one())


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
    with begin_write(catalogue.engine) as connection:
        row = locked(connection, study)
        invitations = []
        for _ in range(number):
            code = new_code()
            entered = add_rater(connection, study.id, code)
            log.add(connection, row, "invited", now(), rater_id=entered.id)
            invitations.append(Invitation(entered, code))
    return invitations


def add_rater(
    connection: Connection, study_id: int, code: str, *, external_id: str | None = None, recruited: bool = False
) -> Rater:
    """Enter a rater under the study's next pseudonym. The study's row is `locked` by this transaction."""
    table = schema.study_rater
    count = select(func.count()).select_from(table).where(table.c.study_id == study_id)
    pseudonym = f"R{connection.execute(count).scalar_one() + 1:02}"
    row = {"study_id": study_id, "pseudonym": pseudonym, "code_hash": code_hash(code), "practised": 0, "created": now()}
    added = insert(table).values(**row, external_id=external_id, recruited=recruited).returning(table.c.id)
    return Rater(connection.execute(added).scalar_one(), study_id, pseudonym)


def revoke(catalogue: Catalogue, study: Study, pseudonym: str) -> None:
    """Shut a rater out. What they hold unanswered goes to others; what they answered stays and counts.

    Raises `InputError` when there is no such rater.
    """
    table, place = schema.study_rater, schema.study_place
    with begin_write(catalogue.engine) as connection:
        row = locked(connection, study)
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
        row = locked(connection, study)
        if row.stopped is None:
            connection.execute(update(schema.study).where(schema.study.c.id == study.id).values(stopped=now()))
            log.add(connection, row, "stopped", now())
        return _study(locked(connection, study))


def extend(catalogue: Catalogue, study: Study, raters_per_item: int) -> Study:
    """Want more raters per item, or go on with a stopped study. Raises `InputError` for fewer than before."""
    table, place, item = schema.study, schema.study_place, schema.study_item
    with begin_write(catalogue.engine) as connection:
        row = locked(connection, study)
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
        entered = locked(connection, study)
        log.add(connection, entered, "extended", now(), payload={"raters_per_item": raters_per_item})
    return _study(entered)


def archive(catalogue: Catalogue, study: Study, *, archived: bool = True) -> Study:
    """Put a study away, or take it out again. Nothing of it is lost; one that is put away gives out no more items."""
    with begin_write(catalogue.engine) as connection:
        row = locked(connection, study)
        if archived != (row.archived is not None):
            moment = now()
            changed = {"archived": moment, "stopped": row.stopped or moment} if archived else {"archived": None}
            connection.execute(update(schema.study).where(schema.study.c.id == study.id).values(**changed))
            log.add(connection, row, "archived", moment, payload={"archived": archived})
        return _study(locked(connection, study))


def delete(catalogue: Catalogue, study: Study) -> None:
    """Delete a study that nobody has answered an item of, with its raters. Raises `InputError` for any other."""
    table, item, shown = schema.study, schema.study_item, schema.study_presentation
    with begin_write(catalogue.engine) as connection:
        whole = select(table).where(table.c.id == study.id).with_for_update()  # against answers that come just now
        row = connection.execute(whole).one()
        items = select(item.c.id).where(item.c.study_id == study.id)
        said = select(shown.c.id).where(shown.c.item_id.in_(items), shown.c.stage_a.is_not(None)).limit(1)
        if connection.execute(said).first() is not None:
            raise InputError(f"study '{row.name}' has answers, which are kept: archive it instead")
        connection.execute(update(table).where(table.c.id == study.id).values(discarded=True))
        for of_it in (
            schema.study_event,
            schema.study_place,
            shown,
            item,
            schema.study_recruitment,
            schema.study_rater,
        ):
            mine = of_it.c.study_id == study.id if "study_id" in of_it.c else of_it.c.item_id.in_(items)
            connection.execute(sqlalchemy_delete(of_it).where(mine))
        connection.execute(sqlalchemy_delete(table).where(table.c.id == study.id))


def _save_item(
    connection: Connection, study_id: int, number: int, block: int, item: NewItem, raters_per_item: int
) -> None:
    fields = {name: getattr(item, name) for name in NewItem.__dataclass_fields__}
    fields |= {"touches": list(item.touches), "content_hash": hashed(item.content)}
    row = insert(schema.study_item).values(study_id=study_id, number=number, block=block, **fields)
    item_id = connection.execute(row).inserted_primary_key[0]  # type: ignore[index]
    places = [{"item_id": item_id, "number": place} for place in range(1, raters_per_item + 1)]
    connection.execute(insert(schema.study_place), places)


def locked(connection: Connection, study: Study) -> Row[Any]:
    """The study's row as it is now, held against other owners."""
    return connection.execute(
        select(schema.study).where(schema.study.c.id == study.id).with_for_update(key_share=True)
    ).one()


def _study(row: Row[Any]) -> Study:
    fields = {name: getattr(row, name) for name in Study.__dataclass_fields__}
    moments = {
        name: None if fields[name] is None else aware(fields[name]) for name in ("created", "stopped", "archived")
    }
    return Study(**fields | moments | {"models": tuple(row.models)})
