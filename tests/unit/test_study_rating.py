"""Raters at work: what comes next, what is saved, what is refused, and who gets in."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from annotations import schema
from annotations.access import Attempts, code_hash, find_rater, has_password, link, new_code, set_password
from annotations.access import verify_password as verify
from annotations.design import new_study
from annotations.export import _items, backup, events, export
from annotations.frame import COLUMNS, ratings
from annotations.people import against_people
from annotations.rating import RatingDesk
from annotations.records import StageA, StageB, Study, Task
from annotations.seeded import hashed
from annotations.status import agreement, status
from annotations.storage import extend, find_study, invite, revoke, stop
from describe.catalog import Catalogue
from describe.catalog import schema as catalogued
from describe.catalog.database import begin_write
from describe.errors import InputError
from describe.records import Score
from tests.study_samples import FITS, answer, described_catalogue, design, let_in, new, rate_all

NASTY = "=cmd()\n\u202e<script>\0\ud800"


class Clock:
    """A clock that goes on when told to, and a millisecond with every look."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def wait(self, **time: float) -> None:
        self.at += timedelta(**time)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with described_catalogue(tmp_path / "c.db") as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(catalogue: Catalogue, clock: Clock) -> RatingDesk:
    return RatingDesk(catalogue, clock=clock)


def small(catalogue: Catalogue, raters: int, **changes: object) -> tuple[Study, list[int]]:
    """A study of a few items, and raters let in."""
    study = new_study(catalogue, design(**{"heads": "sample:6", "repeats": 0.0} | changes))
    return study, [one.rater.id for one in invite(catalogue, study, raters)]


def task(desk: RatingDesk, rater: int) -> Task:
    given = desk.next_item(rater).task
    assert given is not None
    return given


def types(catalogue: Catalogue, study: Study) -> Counter[str]:
    return Counter(event["type"] for event in events(catalogue, study))


def test_consent_and_practice_come_first_and_are_kept(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, (rater, _) = small(catalogue, 2)
    assert desk.next_item(rater).state == "consent"
    desk.consent(rater, new())
    again = new()
    for _ in range(2):
        assert desk.practise(rater, again, 0, StageA("clear"), FITS).saved
    turn = RatingDesk(catalogue).next_item(rater)  # another device
    assert (turn.state, turn.practice) == ("practice", 1)
    assert let_in(desk, rater).state == "item"
    consented = next(event for event in events(catalogue, study) if event["type"] == "consented")
    assert consented["shown_hash"] == hashed([study.consent, study.guideline])
    assert types(catalogue, study)["practised"] == 4
    assert ratings(catalogue, study).empty


def test_the_description_is_not_there_before_stage_a_is_locked(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, (rater, _) = small(catalogue, 2)
    first = let_in(desk, rater).task
    assert first is not None
    assert (first.stage, first.inputs, first.pattern, first.said) == ("a", None, None, None)
    assert desk.answer_b(rater, first.presentation, new(), FITS).status == "too early"
    with pytest.raises(InputError):
        desk.shown(rater, first.presentation, "b", new())
    assert desk.answer_a(rater, first.presentation, new(), StageA("weak", NASTY)).saved
    second = task(desk, rater)
    assert (second.presentation, second.stage, second.position) == (first.presentation, "b", 1)
    assert second.pattern is not None
    assert second.said == StageA("weak", "=cmd()\n\u202e<script>\\x00\\ud800")
    refused = desk.answer_a(rater, first.presentation, new(), StageA("none"))
    assert (refused.status, refused.saved) == ("already", False)
    assert task(desk, rater).said == second.said
    logged = [event["payload"] for event in events(catalogue, study) if event["type"] == "refused"]
    assert [(event["stage"], event["reason"]) for event in logged] == [("b", "too early"), ("a", "already")]
    assert logged[1]["presence"] == "none", "what was sent is kept"


def test_a_submission_sent_twice_counts_once(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, (rater, other) = small(catalogue, 2)
    let_in(desk, rater)
    first = task(desk, rater)
    one, two = new(), new()
    for _ in range(3):
        assert desk.answer_a(rater, first.presentation, one, StageA("clear")).saved
        desk.shown(rater, first.presentation, "b", two)
    three = new()
    for _ in range(3):
        assert desk.answer_b(rater, first.presentation, three, FITS).saved
    assert task(desk, rater).position == 2
    assert desk.answer_b(rater, first.presentation, new(), StageB("partly", "few")).status == "already"
    counted = types(catalogue, study)
    assert (counted["answered_a"], counted["answered_b"], counted["shown_b"], counted["refused"]) == (1, 1, 1, 1)
    assert ratings(catalogue, study).fit.tolist() == ["fits"]
    with pytest.raises(InputError, match="UUID of its own"):
        desk.answer_a(rater, task(desk, rater).presentation, three, StageA("clear"))
    with pytest.raises(InputError, match="UUID"):
        desk.answer_a(rater, task(desk, rater).presentation, "x' OR 1=1", StageA("clear"))
    let_in(desk, other)
    for act in (desk.answer_a, desk.answer_b):
        with pytest.raises(InputError, match="no such item for this rater"):
            act(other, first.presentation, new(), StageA("clear") if act == desk.answer_a else FITS)  # type: ignore[operator]


def test_undo_is_a_revision_and_loses_nothing(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, (rater, _) = small(catalogue, 2)
    let_in(desk, rater)
    assert desk.undo_last(rater, new()).status == "nothing"
    first = task(desk, rater)
    answer(desk, rater, first)
    second = task(desk, rater)
    assert desk.answer_a(rater, second.presentation, new(), StageA("none")).saved
    undo = new()
    for _ in range(2):
        assert desk.undo_last(rater, undo).saved
    assert desk.undo_last(rater, new()).status == "nothing", "only the last judgement"
    back = RatingDesk(catalogue).next_item(rater).task  # another device
    assert back is not None
    assert (back.presentation, back.stage, back.before) == (first.presentation, "b", FITS)
    assert ratings(catalogue, study).fit.tolist() == ["fits"], "counts until there is a new one"
    assert desk.answer_b(rater, back.presentation, new(), StageB("partly", "few", comment="oh")).saved
    after = task(desk, rater)
    assert (after.presentation, after.stage) == (second.presentation, "b")
    frame = ratings(catalogue, study)
    assert frame[["fit", "coverage", "comment", "revisions"]].values.tolist() == [["partly", "few", "oh", 1]]
    told = [(event["type"], event["payload"].get("fit")) for event in events(catalogue, study)]
    assert [one for one in told if one[1] or one[0] == "undone"][-3:] == [
        ("answered_b", "fits"), ("undone", None), ("revised", "partly"),
    ]  # fmt: skip


def test_leases_run_out_and_are_handed_on(catalogue: Catalogue, desk: RatingDesk, clock: Clock) -> None:
    study, (away, *others) = small(catalogue, 3, raters_per_item=2)
    left = let_in(desk, away).task
    assert left is not None
    assert desk.answer_a(away, left.presentation, new(), StageA("clear")).saved
    assert rate_all(desk, others[0]) == "done"
    assert rate_all(desk, others[1]) == "waiting", "what is left is with who is away"
    clock.wait(minutes=31)
    assert desk.next_item(others[1]).state == "item"
    late = desk.answer_b(away, left.presentation, new(), FITS)
    assert (late.status, late.saved) == ("handed on", False)
    assert desk.next_item(away).state == "done"
    assert rate_all(desk, others[1]) == "done"
    found = ratings(catalogue, study)
    assert found.groupby("item").size().tolist() == [2] * sum(study.n_items.values())
    counted = types(catalogue, study)
    assert (counted["handed on"], counted["refused"]) == (1, 1)


def test_who_comes_back_in_time_keeps_the_item(catalogue: Catalogue, desk: RatingDesk, clock: Clock) -> None:
    study, (away, other) = small(catalogue, 2, raters_per_item=1)
    held = let_in(desk, away).task
    assert held is not None
    clock.wait(hours=9)
    assert task(desk, away) == held, "nobody else came: the lease is renewed"
    clock.wait(minutes=29)
    assert rate_all(desk, other) == "waiting"
    clock.wait(minutes=2)
    answer(desk, away, held)
    assert desk.next_item(other).state == "done"
    assert ratings(catalogue, study).groupby("item").size().max() == 1


@pytest.mark.parametrize(("heads", "raters"), [("sample:3", 2), ("sample:17", 3), ("sample:50", 2)])
def test_items_get_as_many_raters_as_wanted_and_heads_stay_apart(
    catalogue: Catalogue, desk: RatingDesk, heads: str, raters: int
) -> None:
    """With just as many raters as wanted all is answered, and nobody sees a head twice within the distance."""
    study, who = small(catalogue, raters, heads=heads, raters_per_item=raters, repeats=0.08)
    assert {rate_all(desk, rater) for rater in who} == {"done"}
    found = ratings(catalogue, study)
    first = found[found.occasion == 1]
    assert first.groupby("item").size().tolist() == [raters] * sum(study.n_items.values())
    table = schema.study_item
    with catalogue.engine.connect() as connection:
        touches = {row.number: set(row.touches) for row in connection.execute(select(table))}
    distance = study.settings["distance"]
    assert distance == min(20, sum(study.n_items.values()) // 5)
    for _, own in found.groupby("rater"):
        assert own.position.tolist() == list(range(1, len(own) + 1))
        for i, item in enumerate(own.item):
            near = own.item.iloc[i + 1 : i + 1 + distance]
            assert all(touches[item].isdisjoint(touches[other]) for other in near)
    orders = [tuple(own.item) for _, own in first.groupby("rater")]
    assert len(set(orders)) == len(orders)
    if heads == "sample:50":
        again = found[found.occasion == 2].groupby("rater").size()
        assert (again / first.groupby("rater").size()).between(0.06, 0.1).all()
        assert "catch" not in set(found[found.occasion == 2].kind)


def test_blocks_are_begun_evenly_and_finished_first(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, who = small(catalogue, 3, heads="sample:90", raters_per_item=3)
    for rater in who:
        rate_all(desk, rater, most=20)
    table = schema.study_item
    with catalogue.engine.connect() as connection:
        blocks = {row.number: row.block for row in connection.execute(select(table.c.number, table.c.block))}
    found = ratings(catalogue, study)
    found["block"] = [blocks[item] for item in found.item]
    per_rater = [Counter(own.block).most_common(1)[0] for _, own in found.groupby("rater")]
    assert len({block for block, _ in per_rater}) == 3, "the least covered block first"
    assert min(number for _, number in per_rater) >= 16


def test_a_rater_gets_no_more_than_asked_for(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, (rater, _) = small(catalogue, 2, heads="sample:60", items_per_rater=30, repeats=0.1)
    assert rate_all(desk, rater) == "done"
    assert Counter(ratings(catalogue, study).occasion) == {1: 30, 2: 3}
    progress = desk.progress(rater)
    assert (progress.answered, progress.total, progress.can_undo) == (33, 33, True)


def test_stopped_extended_and_revoked(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, (first, second) = small(catalogue, 2, raters_per_item=1)
    held = let_in(desk, first).task
    let_in(desk, second)
    assert held is not None
    assert stop(catalogue, study).stopped is not None
    answer(desk, first, held)
    assert desk.next_item(first).state == "stopped"
    with pytest.raises(InputError, match="can only have more"):
        extend(catalogue, study, 0)
    extended = extend(catalogue, study, 2)
    assert (extended.stopped, extended.raters_per_item, extended.version) == (None, 2, 2)
    revoke(catalogue, study, "r02")
    assert desk.next_item(second).state == "revoked"
    assert desk.answer_a(second, 1, new(), StageA("clear")).status == "revoked" if held.presentation != 1 else True
    with catalogue.engine.connect() as connection:
        holds = select(func.count()).where(schema.study_place.c.rater_id == second)
        assert connection.execute(holds).scalar() == 0
    assert rate_all(desk, first) == "done"
    (third,) = (one.rater.id for one in invite(catalogue, study))
    assert rate_all(desk, third) == "done"
    assert ratings(catalogue, study).groupby("item").size().tolist() == [2] * sum(study.n_items.values())
    with pytest.raises(InputError, match="no rater 'R09'"):
        revoke(catalogue, study, "R09")


def test_time_is_counted_while_somebody_is_there(catalogue: Catalogue, desk: RatingDesk, clock: Clock) -> None:
    study, (rater, _) = small(catalogue, 2)
    first = let_in(desk, rater).task
    assert first is not None
    desk.shown(rater, first.presentation, "a", new())
    clock.wait(seconds=12)
    desk.answer_a(rater, first.presentation, new(), StageA("clear"))
    desk.shown(rater, first.presentation, "b", new())
    clock.wait(hours=2)  # at most five minutes of which count
    desk.shown(rater, first.presentation, "b", new())
    clock.wait(seconds=7)
    desk.answer_b(rater, first.presentation, new(), FITS)
    second = task(desk, rater)
    desk.shown(rater, second.presentation, "a", new())
    clock.wait(seconds=20)
    desk.answer_a(rater, second.presentation, new(), StageA("clear"), active_ms=15_000)
    desk.shown(rater, second.presentation, "b", new())
    clock.wait(seconds=5)
    desk.answer_b(rater, second.presentation, new(), FITS, active_ms=10**9)
    frame = ratings(catalogue, study)
    assert frame.seconds_a.tolist() == pytest.approx([12, 15], abs=0.1)
    assert frame.seconds_b.tolist() == pytest.approx([307, 5], abs=0.1)


def test_answers_that_are_none_are_refused(catalogue: Catalogue, desk: RatingDesk) -> None:
    for wrong in (
        lambda: StageA("maybe"),
        lambda: StageA("clear", "x" * 2001),
        lambda: StageB("good", "all"),
        lambda: StageB("fits", "some"),
        lambda: StageB("fits", "all", scope="wide"),
    ):
        with pytest.raises(InputError):
            wrong()
    _, (rater, _) = small(catalogue, 2, swap_easy=0, swap_hard=0, shuffled=0, catch=0, sources=("statistics",))
    first = let_in(desk, rater).task
    assert first is not None
    desk.answer_a(rater, first.presentation, new(), StageA("clear"))
    with pytest.raises(InputError, match="how many rows"):
        desk.answer_b(rater, first.presentation, new(), StageB("fits"))
    assert desk.answer_b(rater, first.presentation, new(), StageB("can't tell")).saved
    with pytest.raises(InputError, match="no such rater"):
        desk.next_item(10**6)


def test_events_are_only_ever_added(catalogue: Catalogue) -> None:
    small(catalogue, 1)
    for change in ("UPDATE study_event SET type = 'revised'", "DELETE FROM study_event"):
        with pytest.raises(DBAPIError, match="only ever added"), begin_write(catalogue.engine) as connection:
            connection.execute(text(change))


def test_the_frame_and_the_files_hold_what_was_said(catalogue: Catalogue, desk: RatingDesk, tmp_path: Path) -> None:
    study, (rater, other) = small(catalogue, 2, name="a study <b>", heads="sample:12")
    first = let_in(desk, rater).task
    assert first is not None
    desk.shown(rater, first.presentation, "a", new())
    desk.answer_a(rater, first.presentation, new(), StageA("weak", NASTY))
    desk.answer_b(rater, first.presentation, new(), StageB("partly", "few", "too broad", "+1"))
    rate_all(desk, rater)
    rate_all(desk, other)
    frame = ratings(catalogue, study)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 2 * sum(study.n_items.values())
    row = frame.iloc[0]
    assert (row.rater, row.occasion, row.position, row.presence, row.fit) == ("R01", 1, 1, "weak", "partly")
    assert (row.coverage, row["scope"], row.comment) == ("few", "too broad", "+1")
    assert frame.comment.iloc[1] is None
    assert pd.isna(row.score)
    assert str(frame.shown_at.dtype) == str(frame.answered_at.dtype)
    assert "UTC" in str(frame.shown_at.dtype)
    assert set(frame[frame.kind == "catch"].expected) <= {"fits", "does not fit"}
    assert set(frame[frame.kind != "catch"].expected) == {None}
    assert frame[frame.kind == "real"].apply(lambda r: r["head"].split(".")[0] == str(r.layer), axis=1).all()

    (codes,) = (invite(catalogue, study, 1),)
    paths = {path.name: path for path in export(catalogue, study, tmp_path / "out")}
    told = [json.loads(line) for line in paths["events.jsonl"].read_text().splitlines()]
    assert told == list(events(catalogue, study))
    with paths["events.csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(told)
    said = next(row for row in rows if row["own_words"])
    assert said["own_words"] == "'=cmd()\\n\\u202e<script>\\\\x00\\\\ud800"
    with paths["ratings.csv"].open(newline="") as file:
        rated = list(csv.DictReader(file))
    assert (rated[0]["comment"], rated[0]["score"], rated[0]["item"]) == ("'+1", "", str(row["item"]))
    codebook = paths["codebook.md"].read_text()
    for name in [*rows[0], *COLUMNS, *{event["type"] for event in told}]:
        assert f"- `{name}`: " in codebook, name
    flat = {name for event in told for name in event["payload"]}
    assert flat <= set(rows[0])
    written = "".join(path.read_text() for path in paths.values())
    assert codes[0].code not in written
    assert code_hash(codes[0].code) not in written
    items = [json.loads(line) for line in paths["items.jsonl"].read_text().splitlines()]
    hashes = {item["content_hash"]: item for item in items}
    assert all(hashed(item["content"]) == found for found, item in hashes.items())
    assert {event["shown_hash"] for event in told if event["type"] == "answered_b"} <= set(hashes)


def test_scores_by_every_measure_stand_beside_what_people_said(
    catalogue: Catalogue, desk: RatingDesk, tmp_path: Path
) -> None:
    """Scores made after the study count, of the newest run, while the description says what raters were shown."""
    study, raters = small(
        catalogue,
        2,
        heads="sample:12",
        sources=("statistics",),
        swap_easy=0,
        swap_hard=0,
        shuffled=0,
        catch=0,
        min_seconds_per_item=None,
    )
    items = {item["number"]: item for item in _items(catalogue, study) if item["kind"] == "real"}
    judge = catalogue.register_labeller("openai:y", "judge", "t", {})
    ids = {number: item["origin"]["description_id"] for number, item in items.items()}
    liked = set(list(items)[::2])
    for number, id in ids.items():
        catalogue.scores.save(id, judge, Score("write", 0.1), {"seed": 0}, {})
        catalogue.scores.save(id, judge, Score("write", 0.9 if number in liked else 0.4), {"seed": 1}, {})
        catalogue.scores.save(id, judge, Score("relation", None, failure="no_rows"), {}, {})
    changed = min(items)
    with begin_write(catalogue.engine) as connection:
        table = catalogued.description
        connection.execute(table.update().where(table.c.id == ids[changed]).values(pattern="other words"))
    said = {(item["content"]["pattern"], item["content"]["inputs"]): number in liked for number, item in items.items()}

    def judged(one: Task) -> StageB:
        return FITS if said.get((one.pattern or "", one.inputs or "")) else StageB("partly", "few")

    for rater in raters:
        while (turn := let_in(desk, rater)).state == "item":
            assert turn.task is not None
            answer(desk, rater, turn.task, judged)
    frame = ratings(catalogue, study).set_index("item")["scores"]
    assert {json.loads(text)["write by openai:y"] for text in frame[frame.notna()]} == {0.4, 0.9}
    assert frame[changed].isna().all()
    assert set(frame[frame.notna()].index) == set(items) - {changed}
    extraction = items[changed]["origin"]["extraction_id"]
    found = against_people(catalogue, extraction, draws=100)
    assert list(found) == [("statistics", "write by openai:y")]
    people = found["statistics", "write by openai:y"]
    assert (people["descriptions"], people["answers"]) == (len(items) - 1, 2 * (len(items) - 1))
    assert people["auroc"] is not None
    assert people["shuffled"] is not None
    assert people["auroc"]["value"] == 1 > (people["shuffled"]["high"] or 1)
    assert against_people(catalogue, extraction + 1) == {}
    (row,) = [row for row in _rated(tmp_path, catalogue, study) if row["item"] == str(max(items))][:1]
    assert json.loads(row["scores"])


def _rated(folder: Path, catalogue: Catalogue, study: Study) -> list[dict[str, str]]:
    export(catalogue, study, folder / "out")
    with (folder / "out" / "ratings.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_state_for_the_owner(catalogue: Catalogue, desk: RatingDesk) -> None:
    study, (first, second, _) = small(catalogue, 3, heads="sample:12")
    assert status(catalogue, study)["agreement"] == {"pairs": 0, "fit": None, "plausible": None}
    rate_all(desk, first)
    rate_all(desk, second, most=3)
    found = status(catalogue, study)
    items = sum(study.n_items.values())
    assert (found["items"]["number"], found["items"]["complete"]) == (items, 3)
    assert found["answers"] == {"given": items + 3, "wanted": 2 * items}
    assert [(r["rater"], r["state"], r["answered"]) for r in found["raters"]] == [
        ("R01", "started", items), ("R02", "started", 3), ("R03", "invited", 0),
    ]  # fmt: skip
    assert found["raters"][0]["failed"] == found["raters"][0]["catch"] // 2, "who says that all fits"
    json.dumps(found)


def test_raw_agreement_is_of_pairs() -> None:
    fits = ["fits", "fits", "partly", "fits", "does not fit", "fits", "partly"]
    frame = pd.DataFrame({"item": [1, 1, 1, 2, 2, 3, 3], "fit": fits, "kind": "real", "occasion": 1})
    frame.loc[5:, "kind"] = "catch"
    assert agreement(frame) == {"pairs": 4, "fit": 0.25, "plausible": 0.25}


def test_codes_let_in_and_cannot_be_read_back(catalogue: Catalogue) -> None:
    study = new_study(catalogue, design())
    one, two = invite(catalogue, study, 2)
    assert (one.rater.pseudonym, two.rater.pseudonym) == ("R01", "R02")
    assert len({new_code() for _ in range(1000)}) == 1000
    assert len(one.code.replace("-", "")) * 5 == 100
    for form in (one.code, one.code.lower(), one.code.replace("-", " "), one.code.replace("1", "I").replace("0", "o")):
        assert find_rater(catalogue, form) == one.rater
    for wrong in ("", "x", one.code[:-1], NASTY, "' OR 1=1 --"):
        assert find_rater(catalogue, wrong) is None
    revoke(catalogue, study, "R01")
    assert find_rater(catalogue, one.code) is None
    assert link("https://h.example/x/", two.code) == f"https://h.example/x/?code={two.code}"
    with begin_write(catalogue.engine) as connection:
        stored = str(connection.execute(select(schema.study_rater)).all())
    assert two.code not in stored
    with pytest.raises(InputError, match="1 to 1000"):
        invite(catalogue, study, 0)


def test_the_owners_password(catalogue: Catalogue) -> None:
    assert not has_password(catalogue)
    assert not verify(catalogue, "")
    with pytest.raises(InputError, match="at least 12"):
        set_password(catalogue, "short")
    for password in ("correct horse battery", "pässwörd \ud800 with all"):
        set_password(catalogue, password)
        assert has_password(catalogue)
        assert verify(catalogue, password)
        assert not verify(catalogue, password + " ")
    assert not verify(catalogue, "correct horse battery")


def test_attempts_are_limited_for_a_while() -> None:
    at = [0.0]
    attempts = Attempts(limit=3, in_all=5, window=60, clock=lambda: at[0])
    for _ in range(3):
        assert attempts.allowed("a")
        attempts.failed("a")
    assert not attempts.allowed("a")
    assert attempts.allowed("b")
    attempts.failed("b")
    attempts.failed("c")
    assert not attempts.allowed("d"), "too many in all"
    at[0] = 60.0
    assert attempts.allowed("a")


def test_a_copy_is_made_while_raters_are_at_work(catalogue: Catalogue, desk: RatingDesk, tmp_path: Path) -> None:
    study, (rater, _) = small(catalogue, 2)
    rate_all(desk, rater, most=2)
    with begin_write(catalogue.engine):
        backup(catalogue, tmp_path / "copy.db")
    rate_all(desk, rater, most=2)
    with Catalogue(str(tmp_path / "copy.db")) as copy:
        assert len(ratings(copy, find_study(copy))) == 2
    assert len(ratings(catalogue, study)) == 4
    with pytest.raises(InputError, match="directory"):
        backup(catalogue, tmp_path)
