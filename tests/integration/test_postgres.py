"""The catalogue on a real PostgreSQL server: the same rows, records and refusals as on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError

from annotations.design import new_study
from annotations.recruiting import Recruiting, enrol, recruit
from annotations.storage import delete, raters, studies
from describe import pipeline
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.runs import claim_of
from describe.catalog.schema import catalogue_info
from describe.errors import CatalogueError, InputError
from describe.llm import parse_llm
from describe.pipeline import Batching
from tests import tiny
from tests.attacks import HTML, TEXTS, attacked_catalogue
from tests.fake_batches import FakeBatches, Fate
from tests.fake_llm import FakeLLM
from tests.headlined import found_by_headlines, headlined
from tests.heads import head_records
from tests.integration.test_describe import QUICK
from tests.older_catalogues import at_revision
from tests.study_samples import described_catalogue, design
from tests.unit.test_claims import DESCRIBED, claims, filled
from tests.whole_catalogue import whole_catalogue


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for record in records:
        record["provenance"].pop("extracted")
        for found in record["descriptions"]:
            for name in ("described", "usage"):
                found["provenance"].pop(name)
    return records


def _rounded(value: Any) -> Any:
    """Plain data without the last digits of its numbers, in which databases may differ."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value


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
            kept.append(without_times(list(head_records(catalogue, info, extraction_id))))
    assert kept[0] == kept[1]
    assert len(kept[0]) == 12
    assert len(fake_llm.calls) == 24


def test_postgres_finds_what_sqlite_finds(postgres_of_its_own: str, tmp_path: Path) -> None:
    asked = ("script", "WINDOW attacked", "here", '"', "'", "\\", "a | b", "!x & (y", ":*", "b&amp;", *TEXTS)
    found, near, seen = [], [], []
    for where in (postgres_of_its_own, str(tmp_path / "c.db")):
        with attacked_catalogue(where, huge=False) as catalogue:
            found.append([catalogue.search.find(query, llm=llm) for query in asked for llm in (None, HTML[2])])
            near.append([catalogue.search.nearest(1, head) for head in catalogue.models()[0].heads])
            seen.append((catalogue.browse.models(), catalogue.browse.describers(1), catalogue.browse.heads(1)))
    assert _rounded(found[0]) == _rounded(found[1])
    assert sum(one["total"] > 0 for one in found[0]) > 20
    assert _rounded(near[0]) == _rounded(near[1])
    assert seen[0] == seen[1]


def test_postgres_finds_heads_by_their_headlines(postgres_of_its_own: str) -> None:
    with headlined(postgres_of_its_own) as catalogue:
        found_by_headlines(catalogue)


def test_a_batch_on_postgres(postgres: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeBatches() as server, Catalogue(postgres, create=True) as catalogue:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.fate = lambda number: Fate("expired", answered=5) if number == 0 else Fate(looks=1)
        asked = {"request": QUICK, "device": "cpu"}
        named = (catalogue, str(tiny_llama), parse_llm("openai:batched"))
        first = pipeline.describe(*named, batch=Batching(0.01, wait=False), **asked)
        assert (first.new, len(first.batches)) == (5, 1)
        with pytest.raises(InputError, match="7 of these heads wait"):
            pipeline.describe(*named, **asked)
        assert pipeline.describe(*named, batch=Batching(0.01), **asked).missing == []
        found = pipeline.report(catalogue, str(tiny_llama))["summary"]
        assert [(row["calls"], row["batch"]) for row in found if row["llm"] == "openai:batched"] == [(12, True)]
        assert len(server.answered) == 12


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


def test_runs_on_postgres(postgres_of_its_own: str) -> None:
    """A run lives as long as its process holds its claim, whichever server looks."""
    with Catalogue(postgres_of_its_own, create=True) as catalogue, Catalogue(postgres_of_its_own) as elsewhere:
        run_id = catalogue.runs.begin(["describe", "m", "--llm=openai:x", "--budget=5.0"])
        catalogue.runs.began(run_id, "host", 1)
        with catalogue.claim(claim_of(run_id), "taken"):
            elsewhere.runs.ask_to_stop(run_id)
            assert catalogue.runs.tell(run_id, stage="describe", done=1, total=4, calls=2, money=0.5)
            elsewhere.runs.bury(elsewhere.runs.newest(5))
            assert elsewhere.runs.find(run_id).state == "running"
        elsewhere.runs.bury(elsewhere.runs.newest(5))
        (run,) = catalogue.runs.newest(5)
        assert (run.state, run.calls, run.money, run.ended) == ("died", 2, 0.5, run.heard)
        assert [catalogue.runs.begin_again(run_id), elsewhere.runs.begin_again(run_id)] == [True, False]
        assert catalogue.ledger.since(run.first_call, "m", ["openai:x"], "salient-1") == (0, 0.0)


def test_an_export_is_the_same_after_going_through_postgres(postgres_of_its_own: str, tmp_path: Path) -> None:
    with whole_catalogue(tmp_path / "c.db") as catalogue:
        pipeline.export(catalogue, [], "jsonl", tmp_path / "before.jsonl")
    with Catalogue(postgres_of_its_own, create=True) as other:
        assert pipeline.import_heads(other, tmp_path / "before.jsonl").left_out == []
        pipeline.export(other, [], "jsonl", tmp_path / "after.jsonl")
        assert pipeline.import_heads(other, tmp_path / "before.jsonl").new == 0
        head, *rest = (tmp_path / "before.jsonl").read_text().splitlines(keepends=True)
        (tmp_path / "wrong.jsonl").write_text("".join([head.replace(" t0", " t9", 1), *rest]))
        with pytest.raises(InputError, match=r"line 1 of .*: the catalogue has head 0\.0 .* other mappings already"):
            pipeline.import_heads(other, tmp_path / "wrong.jsonl")
    assert (tmp_path / "after.jsonl").read_bytes() == (tmp_path / "before.jsonl").read_bytes()


def test_several_models_on_postgres(postgres_of_its_own: str, tmp_path: Path, tiny_llama: Path) -> None:
    other = tiny.save(tiny.tiny_model("gpt2"), tmp_path / "tiny-gpt2")
    kept = []
    for where in (postgres_of_its_own, str(tmp_path / "c.db")):
        with Catalogue(where, create=True) as catalogue:
            results = pipeline.extract_all(catalogue, [str(tiny_llama), str(other)], device="cpu")
            pipeline.relations_all(catalogue, [str(tiny_llama), str(other)], device="cpu")
            found = [record for each in results for record in head_records(catalogue, each.model, each.extraction_id)]
            kept.append(without_times(found))
    assert kept[0] == kept[1]
    assert [record["model"] for record in kept[0]] == ["tiny-llama"] * 12 + ["tiny-gpt2"] * 12


def test_claims_of_an_older_catalogue_are_read_out_of_its_words(postgres_of_its_own: str, tmp_path: Path) -> None:
    with filled(tmp_path / "now.db") as catalogue:
        before = claims(catalogue)
    at_revision("0013", tmp_path / "now.db", postgres_of_its_own, DESCRIBED)
    with Catalogue(postgres_of_its_own) as upgraded:
        assert claims(upgraded) == before


def test_a_run_whose_connections_are_killed_saves_what_came_in(postgres_of_its_own: str) -> None:
    enter = catalogue_info.insert()
    others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    killer = create_engine(postgres_of_its_own, isolation_level="AUTOCOMMIT")
    with Catalogue(postgres_of_its_own, create=True) as catalogue:

        async def work() -> None:
            with catalogue.writes.often():
                for key in ("a", "b"):
                    catalogue.writes.now(lambda c, key=key: c.execute(enter.values(key=key, value="")))  # type: ignore[misc]
                    with killer.connect() as connection:
                        connection.execute(others)
                await catalogue.writes.settled()

        asyncio.run(work())
        with catalogue.engine.connect() as connection:  # the one before was killed: another is opened
            found = connection.execute(select(catalogue_info.c.key)).scalars().all()
    assert {"a", "b"} <= set(found)
    killer.dispose()


def test_a_cap_holds_on_postgres_and_only_what_is_discarded_is_deleted(postgres_of_its_own: str) -> None:
    with described_catalogue(postgres_of_its_own, 4, 6) as catalogue:
        study = new_study(catalogue, design(heads="sample:6", raters_per_item=50))
        code = recruit(catalogue, study, Recruiting(4, "PROLIFIC_PID"))
        assert code is not None

        def come(number: int) -> str:
            try:
                return enrol(catalogue, code, f"5f1a2b3c4d5e6f7a8b9c{number % 8}", "").rater.pseudonym
            except InputError as error:
                return str(error)

        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(come, range(16)))
        assert {one for one in told if one.startswith("R")} == {"R01", "R02", "R03", "R04"}
        assert len(raters(catalogue, study)) == 4
        with pytest.raises(DBAPIError, match="only ever added"), begin_write(catalogue.engine) as connection:
            connection.exec_driver_sql("DELETE FROM study_event")
        delete(catalogue, study)
        assert studies(catalogue, archived=True) == []
