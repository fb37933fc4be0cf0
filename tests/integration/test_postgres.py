"""The catalogue on a real PostgreSQL server: the same rows, records and refusals as on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import CatalogueError
from describe.llm import parse_llm
from tests.fake_llm import FakeLLM
from tests.integration.test_describe import QUICK


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for record in records:
        record["provenance"].pop("extracted")
        for found in record["descriptions"]:
            for name in ("described", "usage"):
                found["provenance"].pop(name)
    return records


def test_postgres_holds_what_sqlite_holds(
    postgres: str, tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    kept = []
    for where in (postgres, str(tmp_path / "c.db")):
        for _ in range(2):  # the second time opens what the first one made, and does nothing again
            with Catalogue(where, create=True) as catalogue:
                result = pipeline.describe(
                    catalogue, str(tiny_llama), parse_llm("openai:f"), request=QUICK, device="cpu"
                )
        assert (result.new, result.failures) == (0, {})
        with Catalogue(where) as catalogue:
            info, extraction_id = pipeline.find(catalogue, str(tiny_llama))
            kept.append(without_times(list(catalogue.head_records(info, extraction_id))))
    assert kept[0] == kept[1]
    assert len(kept[0]) == 12
    assert len(fake_llm.calls) == 24


def test_a_foreign_postgres_database_is_refused_untouched(postgres: str) -> None:
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE cookbook"))
    other = postgres.replace("/postgres?", "/cookbook?")
    with create_engine(other).begin() as connection:
        connection.execute(text("CREATE TABLE recipes (name TEXT)"))
    with pytest.raises(CatalogueError, match="something else"):
        Catalogue(other, create=True)


def test_the_command_line_takes_a_url(postgres: str, headscribe: Callable[..., Any], tiny_llama: Path) -> None:
    done = headscribe("extract", tiny_llama, "--catalog", postgres, "--heads", "0.1")
    assert done.returncode == 0, done.stderr
    shown = headscribe("show", tiny_llama, "0.1", "--catalog", postgres)
    assert shown.returncode == 0, shown.stderr
    assert "tiny-llama 0.1" in shown.stdout
