"""Runs typed in a terminal are listed among the web app's, and cost a command nothing where that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.runs import known_describers, known_models, model_of
from app.terminal import progress_bars
from app.terminal_runs import recorded
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from tests.study_samples import described_catalogue


def at_work(steps: int = 3, code: int = 0) -> int:
    """A command that works."""
    with progress_bars(quiet=True) as progress:
        for done in range(steps + 1):
            progress("extract", done, steps)
    return code


def test_a_run_that_was_typed_is_listed(tmp_path: Path) -> None:
    where = str(tmp_path / "c.db")
    with described_catalogue(where, 1, 2) as catalogue:
        typed = ["describe", "m", "--llm", "openai:y", "--llm=openai:y", f"--catalog={where}", "--quiet"]
        seen = []

        def look() -> int:
            with progress_bars(quiet=True) as progress:
                progress("describe", 1, 3)
                catalogue.runs.bury(catalogue.runs.newest(5))
                seen.extend(catalogue.runs.newest(5))
            return at_work(code=1)

        assert recorded(typed, look) == 1
        assert [run.state for run in seen] == ["running"]
        (run,) = catalogue.runs.newest(5)
        assert (run.state, run.exit_code, run.stage, run.done) == ("failed", 1, "extract", 3)
        assert run.arguments == ("describe", "m", "--llm", "openai:y", "--llm=openai:y")
        assert model_of(catalogue, run) == "m"
        assert known_models(catalogue) == ["m", "demo"]
        assert known_describers(catalogue) == ["statistics", "gguf:demo", "openai:y", "openai:x"]


def test_what_does_not_work_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = str(tmp_path / "c.db")
    monkeypatch.setenv("HEADSCRIBE_CATALOG", where)
    assert recorded(["extract", "m"], at_work) == 0
    assert not Path(where).exists(), "a catalogue is made by what is committed, not by the list"
    with Catalogue(where, create=True) as catalogue:
        for typed in (["show", "m", "0.0"], ["describe", "m", "--dry-run"], ["extract", "--help"], []):
            assert recorded(typed, at_work) == 0
        assert recorded(["extract", "m"], lambda: 2) == 2
        with begin_write(catalogue.engine):
            assert recorded(["extract", "m"], at_work) == 0, "locked by others: it works all the same"
        assert catalogue.runs.newest(5) == []
