"""Browsing in the app, without a browser: who may, that every text is text, and that it shows what the records say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from annotations.access import LINK_PARAMETER, set_password
from annotations.design import new_study
from annotations.heads import judged
from annotations.rating import RatingDesk
from annotations.storage import invite
from app.browsing import parts
from app.browsing.route import Browsing
from app.front_door.ownership import ownership
from app.model_names import model_address
from app.web import shared
from describe import pipeline
from describe.catalog import Catalogue
from describe.catalog.ledger import Caller
from describe.catalog.passages import passage
from describe.export.html.data import Words, pack
from describe.records import Call, Description, HeadId, LayerScores, Score
from tests.attacks import HUGE, MODEL, attacked_catalogue
from tests.study_samples import described_catalogue, design, rate_all
from tests.whole_catalogue import MODEL as GPT2
from tests.whole_catalogue import OTHER, whole_catalogue

NAME = model_address(MODEL)
DATA = re.compile(r'<script type="application/json" id="(\w+)">(.*?)</script>', re.DOTALL)


class Elements(HTMLParser):
    """The elements that a browser would make of HTML, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("attacked") / "c.db"
    attacked_catalogue(where).close()
    return where


@pytest.fixture
def browse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A visitor's browser on a catalogue: the owner's, unless it is given another cookie."""

    def on(where: Path, cookie: str | None = None) -> TestClient:
        monkeypatch.setenv("HEADSCRIBE_CATALOG", str(where))
        shared.close()
        client = TestClient(Browsing(PlainTextResponse("passed on")), follow_redirects=False)
        client.cookies.set(ownership().cookie_name, ownership().cookie if cookie is None else cookie)
        return client

    yield on
    shared.close()


def map_of(text: str) -> Any:
    return json.loads(dict(DATA.findall(text))["overview"])


PATHS = ("/", "/head?model=m&head=0.0", "/search?q=x")
PART_PATHS = ("/browse/head?model=m&head=0.0", "/browse/search?q=x", "/browse/record?model=m&head=0.0")


def test_the_owner_browses_and_nobody_else(tmp_path: Path, browse: Any) -> None:
    described_catalogue(tmp_path / "c.db", 1, 2).close()
    owner, stranger = browse(tmp_path / "c.db"), browse(tmp_path / "c.db", "x" * 64)
    for path in PATHS:
        assert owner.get(path).text != "passed on", path
        assert stranger.get(path).text == "passed on", path
    for path in PART_PATHS:
        assert owner.get(path).status_code == 200, path
        assert (stranger.get(path).status_code, stranger.get(path).text) == (403, "Only the owner may see this.\n")
    assert owner.get(f"/?{LINK_PARAMETER}=some-code").text == "passed on", "with a rater's code one is that rater"
    assert owner.get("/runs").text == "passed on"
    assert owner.get("/browse/nothing").status_code == 404


def test_a_password_ends_what_the_link_opened_and_another_password_what_that_did(tmp_path: Path, browse: Any) -> None:
    with described_catalogue(tmp_path / "c.db", 1, 2) as catalogue:
        set_password(catalogue, "a long password")
        by_link = browse(tmp_path / "c.db")
        assert by_link.get("/").text == "passed on"
        mark = shared_mark(catalogue)
        signed_in = browse(tmp_path / "c.db", ownership().cookie_of(mark))
        assert "Sign out" in signed_in.get("/").text
        left = signed_in.get("/sign-out")
        assert (left.status_code, left.headers["location"]) == (303, "/")
        assert "Max-Age=0" in left.headers["set-cookie"]
        set_password(catalogue, "another password")
        assert browse(tmp_path / "c.db", ownership().cookie_of(mark)).get("/").text == "passed on"


def shared_mark(catalogue: Catalogue) -> str:
    from annotations.access import password_mark

    mark = password_mark(catalogue)
    assert mark
    return mark


def test_every_text_is_text_and_parts_stay_small(attacked: Path, browse: Any) -> None:
    owner = browse(attacked)
    page = owner.get("/", params={"model": NAME})
    found = Elements(page.text)
    assert not {name for name in found.attributes if name.startswith("on")} | ({"src", "style"} & found.attributes)
    assert not found.names & {"img", "iframe", "object", "svg:script"}
    assert not any(char in page.text for char in "\u202e\u200b\x1b\ud800\u2028\x00")
    assert not re.search("[<>&]", dict(DATA.findall(page.text))["overview"])
    for head in ("0.0", "1.2"):
        part = owner.get("/browse/head", params={"model": NAME, "head": head})
        assert part.headers["content-type"] == "application/json"
        assert len(part.text) < 400_000
    assert "window.attacked" in owner.get("/browse/search", params={"q": "window script"}).text


def test_what_is_cut_says_so_and_is_whole_in_the_download(attacked: Path, browse: Any) -> None:
    named = {"model": NAME, "head": "1.2"}
    owner = browse(attacked)
    assert f"{len(HUGE):,} characters" in owner.get("/browse/head", params=named).text
    record = owner.get("/browse/record", params=named)
    assert record.headers["content-disposition"].startswith("attachment")
    assert record.json()["salient"][0]["token"] == HUGE


def test_a_head_has_everything(tmp_path: Path, browse: Any) -> None:
    with described_catalogue(tmp_path / "c.db") as catalogue:
        none: dict[str, Any] = dict.fromkeys(("swap_easy", "swap_hard", "shuffled", "catch", "repeats"), 0.0)
        study = new_study(catalogue, design(heads="0.1,0.2", sources=("statistics",), distance=0, **none))
        rate_all(RatingDesk(catalogue), invite(catalogue, study)[0].rater.id)
        (said,) = judged(catalogue, "m", HeadId(0, 1))
        assert (said["source"], said["fit"]["fits"], sum(said["fit"].values())) == ("statistics", 1, 1)
        judge = catalogue.register_labeller("openai:judge", "j", "t", {})
        with catalogue.engine.connect() as connection:
            query = "SELECT id FROM description WHERE head_id = 2 ORDER BY id"
            told = connection.exec_driver_sql(query).scalars().all()
        catalogue.scores.save(told[0], judge, Score("detection", 0.75, 0.6, 0.9, None, 60), {}, {})
    part = browse(tmp_path / "c.db").get("/browse/head", params={"model": "m@abababab", "head": "0.1"})
    for words in ("openai:judge", "0.75 (0.60 to 0.90)", "not run", "1 fits", " s1-0"):
        assert words in part.text, words
    assert "R01" not in part.text
    assert {name for name, _ in part.json()["head"]["held_out"]} == {
        "The next most salient tokens",
        "Tokens drawn at random",
    }


def test_roles_are_named_where_they_are_described_and_found(tmp_path: Path, browse: Any) -> None:
    whole_catalogue(tmp_path / "c.db", (GPT2,)).close()
    owner, model = browse(tmp_path / "c.db"), model_address(GPT2)
    head = owner.get("/browse/head", params={"model": model, "head": "1.1"}).json()["head"]
    assert [one["role"] for one in head["descriptions"]].count(2) == 1
    assert [role[0] for role in head["roles"]] == [1, 2]
    assert head["link"] == "https://www.neuronpedia.org/gpt2-small/head/1/1"
    assert len(owner.get("/browse/search", params={"model": model, "q": "odd halves"}).json()["heads"]) == 2
    assert len(owner.get("/browse/search", params={"q": "number after"}).json()["matches"]) == 4


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "which head?"),
        ({"model": "nope", "head": "0.0"}, "holds no model 'nope'"),
        ({"model": "m", "head": "x"}, "'x' is not a head"),
        ({"model": "m", "head": "99999999999999999999.0"}, "is not a head"),
        ({"model": "m", "head": "٣.0"}, "'٣.0' is not a head"),
        ({"model": "m", "head": "-1.0"}, "'-1.0' is not a head"),
        ({"model": "m", "head": "99.0"}, "Head 99.0 of this model is not in the catalogue."),
        ({"model": "m@ffff", "head": "0.0"}, "holds no model"),
    ],
)
def test_a_wrong_address_is_one_line(tmp_path: Path, browse: Any, parameters: dict[str, str], told: str) -> None:
    described_catalogue(tmp_path / "c.db", 1, 2).close()
    answer = browse(tmp_path / "c.db").get("/browse/head", params=parameters)
    assert answer.status_code == 404
    assert told in answer.text
    assert answer.text.count("\n") == 1


def test_the_address_names_the_model_whatever_else_there_is(tmp_path: Path, browse: Any) -> None:
    whole_catalogue(tmp_path / "c.db").close()
    owner = browse(tmp_path / "c.db")
    for model in (GPT2, OTHER):
        shown = map_of(owner.get("/", params={"model": model.name}).text)
        assert shown["model"]["address"] == model_address(model)
    every = owner.get("/").text
    assert 'id="overview"' not in every
    assert all(
        f'model={model_address(model).replace("/", "%2F").replace("@", "%40")}"' in every for model in (GPT2, OTHER)
    )
    wrong = owner.get("/", params={"model": "nope"})
    assert wrong.status_code == 404
    assert "holds no model &#39;nope&#39;" in wrong.text


def test_an_empty_catalogue_says_what_to_run(tmp_path: Path, browse: Any) -> None:
    Catalogue(str(tmp_path / "c.db"), create=True).close()
    assert "headscribe extract demo" in browse(tmp_path / "c.db").get("/").text


def test_the_map_reads_no_mappings(tmp_path: Path, browse: Any) -> None:
    described_catalogue(tmp_path / "c.db").close()
    owner = browse(tmp_path / "c.db")
    statements: list[str] = []
    event.listen(shared.catalogue().engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert owner.get("/").status_code == 200
    assert statements
    assert not [statement for statement in statements if "salient" in statement or "suppressed" in statement]


def test_a_failure_that_gives_way_is_seen_on_the_map(tmp_path: Path, browse: Any) -> None:
    with described_catalogue(tmp_path / "c.db", 1, 4, labellers=1) as catalogue:
        failed = HeadId(0, 3)
        owner = browse(tmp_path / "c.db")
        states = [head["state"] for head in map_of(owner.get("/").text)["heads"]]
        assert states[3] == "failed"
        by = Caller(1, 1, "openai:x", "http://localhost/v1", "t")
        catalogue.ledger.save(by, failed, Call("hash", "ok", 1.0))
        catalogue.save_description(1, failed, 1, Description("Unclear", "Unclear", unclear=True), {})
        after = [head["state"] for head in map_of(owner.get("/").text)["heads"]]
        assert after == [*states[:3], "unclear"]


def test_the_map_has_a_layers_scores_once_they_are_there_and_keeps_them(tmp_path: Path, browse: Any) -> None:
    with described_catalogue(tmp_path / "c.db", 2, 2, labellers=1) as catalogue:
        owner = browse(tmp_path / "c.db")

        def scores() -> list[list[float | None]]:
            figures = map_of(owner.get("/").text)["figures"]
            return [one["values"] for one in figures if one["label"] == "Operation: word copying"]

        assert scores() == []
        operation = {"name": "word_copying", "content_hash": "h", "category": "c", "direction": "", "pairs": []}
        run = catalogue.relations.begin_run(1, {"k": 1}, True, {})
        relation = catalogue.relations.begin_relation(run, operation, 1, 30, True)
        catalogue.relations.save_layer(0, {relation: LayerScores([0.5, 0.25], [0.0, 0.0], 1.0)})
        assert scores() == [[0.5, 0.25, None, None]]
        catalogue.save_description(1, HeadId(1, 1), 1, Description("Unclear", "Unclear", unclear=True), {})
        assert scores() == [[0.5, 0.25, None, None]]
        catalogue.relations.save_layer(1, {relation: LayerScores([0.75, 1.0], [0.0, 0.0], 1.0)})
        assert scores() == [[0.5, 0.25, 0.75, 1]]


def test_the_app_and_the_page_in_a_file_show_the_same_map(tmp_path: Path, browse: Any) -> None:
    with whole_catalogue(tmp_path / "c.db") as catalogue:
        owner = browse(tmp_path / "c.db")
        for number, model in enumerate((GPT2, OTHER), 1):
            written = pack(model, catalogue.head_records(model, number)).overview
            served = map_of(owner.get("/", params={"model": model_address(model)}).text)
            del served["model"]["address"]
            assert served == json.loads(json.dumps(written))


def test_what_a_file_is_searched_by_is_the_index_of_the_catalogue(tmp_path: Path) -> None:
    with whole_catalogue(tmp_path / "c.db") as catalogue, catalogue.engine.connect() as connection:
        catalogue.search.find("brings the cards up to date")
        for number, model in enumerate((GPT2, OTHER), 1):
            words = Words()
            records = list(catalogue.head_records(model, number))
            for record in records:
                words.add((record.layer, record.head), record)
            packed = words.to_json([(record.layer, record.head) for record in records])
            query = select(passage.c.terms).where(passage.c.extraction_id == number)
            indexed = sorted(set(terms.split()) for terms in connection.execute(query).scalars())
            made = [
                {packed["terms"][term] for term in (one[1:] if place else one)}
                for found in packed["heads"]
                for place, one in enumerate(found)
            ]
            assert sorted(map(sorted, made)) == sorted(map(sorted, indexed))


def test_search_finds_the_same_on_the_command_line_and_in_the_app(tmp_path: Path) -> None:
    with whole_catalogue(tmp_path / "c.db") as catalogue:
        for query in ("number after", "t11", "previous token", "halves", "nothing", "numb", "("):
            told = pipeline.search(catalogue, query, model=GPT2.name, limit=100)["heads"]
            one = parts.shown(catalogue, GPT2.name)
            assert parts.found(catalogue, query, one)["heads"] == [f"{h['layer']}.{h['head']}" for h in told]


def test_overviews_are_those_of_the_records(tmp_path: Path) -> None:
    with described_catalogue(tmp_path / "c.db", 3, 4) as catalogue:
        judge = catalogue.register_labeller("judge", "j", "t", {})
        for told in range(1, 20, 2):
            for measure, value in (("likelihood", told / 10), ("detection", told / 20), ("detection", None)):
                score = Score(measure, value, wrong=0.5, failure=None if value else "timeout")  # type: ignore[arg-type]
                catalogue.scores.save(told, judge, score, {"failed": value is None}, {})
        records = list(catalogue.head_records(catalogue.models()[0], 1))
        for llm in (None, "openai:x", "statistics"):
            for row, record in zip(catalogue.browse.heads(1, llm=llm), records, strict=True):
                told_by = [one for one in record.descriptions if llm in (None, one.llm)]
                usable = [one for one in told_by if one.failure is None]
                best_state = [one for one in usable if not one.unclear] or usable or told_by
                best = max(reversed(best_state), key=lambda one: one.headline.rank if one.headline else (-9.0,))
                state = "failed" if best.failure else "unclear" if best.unclear else "described"
                assert (row.state, row.pattern, row.llm) == (state, best.pattern, best.llm)
                assert row.score == (best.headline.value if best.headline else None)
        (overview,) = catalogue.browse.models()
        assert (overview["heads"], overview["described"], overview["describers"]) == (12, 12, 2)
        counts = {one["llm"]: one for one in catalogue.browse.describers(1)}
        assert counts["openai:x"] == {"llm": "openai:x", "described": 8, "unclear": 3, "failed": 1}
