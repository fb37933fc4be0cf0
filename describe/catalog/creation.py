"""The tables of a new catalogue, made at once as they are today.

An older catalogue gets them one revision after the other (`migrations`); a test holds both ways to the same tables.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table
from sqlalchemy.schema import CreateIndex, CreateTable

from describe.catalog.passages import INDEX
from describe.catalog.schema import catalogue_info, metadata
from describe.catalog.study_schema import EVENTS_ARE_KEPT
from describe.versions import headscribe_version

__all__ = ["create_tables"]

_alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""As Alembic, which takes half a second to import, makes it."""


def create_tables(connection: Connection, revision: str) -> None:
    """Make an empty database a catalogue that holds nothing, of today's schema, which is this revision's.

    The tables are those of the package's modules, all of which its ``__init__`` loads.
    """
    for table in (_alembic_version, *metadata.sorted_tables):
        connection.execute(CreateTable(table))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index))
    for statement in (*INDEX[connection.dialect.name], *EVENTS_ARE_KEPT[connection.dialect.name]):
        connection.exec_driver_sql(statement)
    connection.execute(_alembic_version.insert().values(version_num=revision))
    connection.execute(catalogue_info.insert().values(key="made_by", value=f"headscribe {headscribe_version()}"))
