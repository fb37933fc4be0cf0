"""Raters who enter themselves, what is asked of them before the items, and studies that are put away or deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from annotations import schema
from annotations.access import find_rater
from annotations.design import new_study
from annotations.export import events, export
from annotations.material import screening_items
from annotations.rating import RatingDesk
from annotations.records import StageB, Study
from annotations.recruiting import (
    Recruiting,
    close_recruiting,
    enrol,
    find_link,
    joined,
    recruit,
    recruiting_link,
    recruiting_of,
)
from annotations.status import status
from annotations.storage import archive, delete, find_study, invite, revoke, studies
from app.main import main
from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from tests.study_samples import answer, described_catalogue, design, let_in, new

PROLIFIC = "5f1a2b3c4d5e6f7a8b9c0d1"
BROWSER = "a browser's name of 24 random bytes"
HOSTILE = ["", " ", "a" * 65, "<script>", "=1+1", "a b", "ﷺ", "a\nb", "../../x", "x'; DROP TABLE study"]


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with described_catalogue(tmp_path / "c.db", 4, 6) as opened:
        yield opened


@pytest.fixture
def study(catalogue: Catalogue) -> Study:
    return new_study(catalogue, design(heads="sample:6", raters_per_item=50, about_raters=True, screening=True))


def link(catalogue: Catalogue, study: Study, cap: int = 3, **more: str) -> str:
    code = recruit(catalogue, study, Recruiting(cap, **more))
    assert code is not None
    return code


def entered(catalogue: Catalogue) -> int:
    with catalogue.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(schema.study_rater)).scalar_one())


def test_a_cap_holds_whoever_comes_at_once(catalogue: Catalogue, study: Study) -> None:
    code = link(catalogue, study, 5, id_parameter="PROLIFIC_PID")

    def come(number: int) -> str:
        try:
            return enrol(catalogue, code, f"{PROLIFIC}{number % 20:03}", "").rater.pseudonym
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(come, range(40)))  # each of twenty comes twice
    names = [one for one in told if one.startswith("R")]
    assert entered(catalogue) == 5
    assert set(names) == {f"R{number:02}" for number in range(1, 6)}
    assert {one for one in told if one not in names} == {
        "All places of this study are taken. Thank you for your interest!"
    }
    revoke(catalogue, study, "R02")
    assert come(99).startswith("R"), "who is shut out leaves the place"


def test_who_comes_again_is_the_same_rater(catalogue: Catalogue, study: Study) -> None:
    code = link(catalogue, study, id_parameter="PROLIFIC_PID")
    first = enrol(catalogue, code, PROLIFIC, BROWSER)
    assert enrol(catalogue, code.lower().replace("-", " "), PROLIFIC, "another browser") == first
    assert joined(catalogue, code, PROLIFIC, "") == find_rater(catalogue, first.code) == first.rater
    short = enrol(catalogue, code, "12", BROWSER)
    assert enrol(catalogue, code, "12", BROWSER).rater == short.rater
    with pytest.raises(InputError, match="has taken part already"):
        enrol(catalogue, code, "12", "who guesses ids")
    assert joined(catalogue, code, "12", "who guesses ids") is None
    assert entered(catalogue) == 2
    revoke(catalogue, study, first.rater.pseudonym)
    with pytest.raises(InputError, match="cannot take part"):
        enrol(catalogue, code, PROLIFIC, BROWSER)


def test_without_ids_a_browser_is_one_rater(catalogue: Catalogue, study: Study) -> None:
    code = link(catalogue, study)
    assert enrol(catalogue, code, None, BROWSER) == enrol(catalogue, code, None, BROWSER)
    assert enrol(catalogue, code, None, "") != enrol(catalogue, code, None, "")
    assert entered(catalogue) == 3


@pytest.mark.parametrize("given", HOSTILE)
def test_ids_that_no_platform_gives_enter_nobody(catalogue: Catalogue, study: Study, given: str) -> None:
    code = link(catalogue, study, id_parameter="PROLIFIC_PID")
    with pytest.raises(InputError, match=r"Open it from where you found the study|has taken part"):
        enrol(catalogue, code, given, BROWSER)
    assert entered(catalogue) == 0


def test_links_end_and_are_told_from_others(catalogue: Catalogue, study: Study) -> None:
    code = link(catalogue, study)
    for wrong in ("", "WRONG", code[:-1], PROLIFIC):
        assert find_link(catalogue, wrong) is None
        with pytest.raises(InputError, match="not known"):
            enrol(catalogue, wrong, None, BROWSER)
    assert recruit(catalogue, study, Recruiting(9)) is None
    again = recruit(catalogue, study, Recruiting(9), new_link=True)
    assert again is not None
    assert find_link(catalogue, code) is None
    close_recruiting(catalogue, study)
    with pytest.raises(InputError, match="takes nobody else"):
        enrol(catalogue, again, None, BROWSER)
    assert recruiting_link("https://x.org/", again, Recruiting(9, "PROLIFIC_PID")).endswith(
        f"/?join={again}&PROLIFIC_PID={{{{%PROLIFIC_PID%}}}}"
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"cap": 0},
        {"cap": 10**6},
        {"cap": 1, "id_parameter": "code"},
        {"cap": 1, "id_parameter": "a=b&c"},
        {"cap": 1, "return_url": "javascript:alert(1)"},
        {"cap": 1, "return_url": "http://plain.example.org"},
        {"cap": 1, "return_url": "https://"},
        {"cap": 1, "return_url": "https://x.org/\n"},
        {"cap": 1, "completion_code": "a\nb"},
    ],
)
def test_bad_settings_are_one_line(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Recruiting(**bad)  # type: ignore[arg-type]


def test_ids_codes_and_links_are_in_no_export(catalogue: Catalogue, study: Study, tmp_path: Path) -> None:
    code = link(
        catalogue, study, id_parameter="PROLIFIC_PID", completion_code="C0MPLETED", return_url="https://p.org/x"
    )
    personal = enrol(catalogue, code, PROLIFIC, BROWSER).code
    assert recruiting_of(catalogue, study.id) == Recruiting(3, "PROLIFIC_PID", "C0MPLETED", "https://p.org/x")
    written = "".join(path.read_text() for path in export(catalogue, study, tmp_path / "out"))
    kept = (tmp_path / "c.db").read_bytes() + (tmp_path / "c.db-wal").read_bytes()
    for secret in (PROLIFIC, code, personal, "C0MPLETED", "p.org", BROWSER):
        assert secret not in written
    for secret in (code, personal, BROWSER):
        assert secret.encode() not in kept
    assert status(catalogue, study)["raters"][0]["external"] == PROLIFIC


def screened(desk: RatingDesk, rater: int, right: int, attempt: int = 1) -> str:
    """Answer one try of the check, so many rightly; the state that follows."""
    for number, item in enumerate(screening_items()[attempt - 1]):
        turn = desk.next_item(rater)
        assert (turn.state, turn.practice, turn.attempt) == ("screening", number, attempt)
        fit = item.fit[0] if number < right else "can't tell"
        for _ in range(2):  # a double click
            desk.screen(rater, new(), (attempt, number), StageB(fit))
    return desk.next_item(rater).state


def test_questions_and_a_check_with_a_second_try_come_before_the_items(catalogue: Catalogue, study: Study) -> None:
    desk = RatingDesk(catalogue)
    first, second, third = (one.rater.id for one in invite(catalogue, study, 3))
    for rater in (first, second, third):
        desk.consent(rater, new())
        assert desk.next_item(rater).state == "about"
        with pytest.raises(InputError, match="no answer about the rater"):
            desk.tell_about(rater, new(), {"english": "I am Ada"})
        desk.tell_about(rater, new(), {"english": "well"})
        let_in(desk, rater)
    assert screened(desk, first, 3) == "item"
    assert screened(desk, second, 2) == "screening"
    assert screened(desk, second, 4, attempt=2) == "item"
    assert screened(desk, third, 0) == "screening"
    assert screened(desk, third, 2, attempt=2) == "screened out"
    found = status(catalogue, study)["raters"]
    assert [one["standing"] for one in found] == ["started", "started", "screened out"]
    told = [one for one in events(catalogue, study) if one["type"] == "screened" and one["rater"] == "R03"]
    assert [one["payload"]["right"] for one in told] == [False] * 4 + [True] * 2 + [False] * 2
    assert {one["payload"]["english"] for one in events(catalogue, study) if one["type"] == "about"} == {"well"}
    json.dumps(status(catalogue, study))


def test_who_failed_the_check_leaves_the_place_to_others(catalogue: Catalogue, study: Study) -> None:
    code = link(catalogue, study, 1)
    desk, rater = RatingDesk(catalogue), enrol(catalogue, code, None, BROWSER).rater.id
    desk.consent(rater, new())
    desk.tell_about(rater, new(), {})
    let_in(desk, rater)
    with pytest.raises(InputError, match="All places"):
        enrol(catalogue, code, None, "another")
    screened(desk, rater, 0)
    screened(desk, rater, 0, attempt=2)
    assert enrol(catalogue, code, None, "another").rater.pseudonym == "R02"


def test_a_study_without_answers_is_deleted_and_one_with_them_put_away(catalogue: Catalogue) -> None:
    empty = new_study(catalogue, design(name="empty", heads="sample:6"))
    full = new_study(catalogue, design(name="full", heads="sample:6"))
    link(catalogue, empty)
    desk, (rater,) = RatingDesk(catalogue), invite(catalogue, full)
    gone = invite(catalogue, empty)[0]
    let_in(desk, gone.rater.id)  # an item is before this rater
    task = let_in(desk, rater.rater.id).task
    assert task is not None
    answer(desk, rater.rater.id, task)
    delete(catalogue, empty)
    assert [one.name for one in studies(catalogue)] == ["full"]
    assert find_rater(catalogue, gone.code) is None
    before = list(events(catalogue, full))
    with pytest.raises(InputError, match="has answers, which are kept"):
        delete(catalogue, full)
    put_away = archive(catalogue, full)
    assert put_away.archived
    assert put_away.stopped
    assert status(catalogue, put_away)["state"] == "archived"
    assert studies(catalogue) == []
    assert find_study(catalogue, "full") == put_away
    with pytest.raises(CatalogueError):
        find_study(catalogue)
    assert archive(catalogue, full, archived=False).archived is None
    assert [one["type"] for one in events(catalogue, full)] == [one["type"] for one in before] + ["archived"] * 2
    new_study(catalogue, design(name="empty", heads="sample:6"))  # the name is free again


def test_the_commands(catalogue: Catalogue, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ["--catalog", str(tmp_path / "c.db")]
    new_one = ["study", "new", "s", "--model", "m", "--heads", "sample:6", *where]
    assert main([*new_one, "--dry-run"]) == 0
    assert "minutes of a rater" in capsys.readouterr().out
    assert studies(catalogue) == []
    assert main([*new_one, "--screening", "--about-raters", "--contact", "Ada", "--leave-out-unclear"]) == 0
    made = find_study(catalogue)
    chosen = {name: made.settings[name] for name in ("screening", "about_raters", "contact", "unclear")}
    assert chosen == {"screening": True, "about_raters": True, "contact": "Ada", "unclear": False}
    assert main(["study", "recruit", *where]) == 2
    assert main(["study", "recruit", "--cap", "3", "--id-parameter", "PROLIFIC_PID", *where]) == 0
    told = capsys.readouterr().out
    assert find_link(catalogue, told.partition("join=")[2].partition("&")[0]) is not None
    assert main(["study", "recruit", "--completion-code", "C1", *where]) == 0
    assert "join=" not in capsys.readouterr().out
    assert recruiting_of(catalogue, made.id) == Recruiting(3, "PROLIFIC_PID", "C1")
    assert main(["study", "recruit", "--close", *where]) == 0
    assert main(["study", "status", *where]) == 0
    assert main(["study", "archive", *where]) == 0
    assert main(["study", "archive", "s", "--undo", *where]) == 0
    assert main(["study", "delete", "s", *where]) == 0
    assert main(["study", "delete", "s", *where]) == 2
    assert studies(catalogue, archived=True) == []
