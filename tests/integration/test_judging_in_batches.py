"""Judging and comparing through the Batch API bring what direct calls bring, at half the price, and nothing twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.llm import Request, parse_llm
from describe.pipeline import Batching, Limits
from describe.records import Description, HeadId
from tests.fake_batches import FakeBatches, Fate
from tests.fake_llm import Action, Call, FakeLLM, completion
from tests.integration.test_scoring import judged
from tests.integration.test_stability import described, same
from tests.older_catalogues import at_revision

JUDGE = parse_llm("openai:judge")
QUICK = Request(timeout=30.0, attempts=3, longest_wait=0.05)
PRICES = Limits(price_in=1.0, price_out=10.0)


def judge(call: Call) -> Action | None:
    return judged(call, lambda source, targets: (len(source) + len(targets)) % 10 / 10)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBatches]:
    with FakeBatches() as started:
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        yield started


@pytest.fixture(scope="module")
def two_authors(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue in which two authors describe the heads of a layer, each in its own words."""
    place = tmp_path_factory.mktemp("described") / "c.db"
    with Catalogue(str(place), create=True) as catalogue:
        own = pipeline.extract(catalogue, str(tiny_llama), heads="0", device="cpu").extraction_id
        for author in ("first", "second"):
            labeller = catalogue.register_labeller(author, "p-1", "", {})
            for head in sorted(catalogue.saved_heads(own)):
                catalogue.save_description(own, head, labeller, Description(author, f"does {head}"), {})
    return place


def copy_of(place: Path, to: Path) -> Catalogue:
    shutil.copy(place, to)
    return Catalogue(str(to))


def scores(catalogue: Catalogue, model: Path) -> list[Any]:
    records = catalogue.head_records(*pipeline.find(catalogue, str(model)))
    return [
        {name: score[name] for name in ("value", "low", "high", "failure", "n")}
        for record in records
        for description in record.to_json()["descriptions"]
        for judges in description["scores"].values()
        for score in judges.values()
    ]


def score(catalogue: Catalogue, model: Path, **options: Any) -> pipeline.ScoreResult:
    return pipeline.score(catalogue, str(model), JUDGE, request=QUICK, **{"batch": Batching(0.01)} | options)


def test_scores_by_batch_are_those_of_direct_calls(
    two_authors: Path, tmp_path: Path, tiny_llama: Path, server: FakeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A description and its wrong one go together, so that all is there after one batch an author."""
    server.misbehave = judge
    with copy_of(two_authors, tmp_path / "batch.db") as catalogue:
        plans = [
            pipeline.plan_scores(catalogue, str(tiny_llama), JUDGE, request=QUICK, limits=PRICES, batch=batch)
            for batch in (None, Batching())
        ]
        assert plans[1].money == pytest.approx((plans[0].money or 0) / 2)
        result = score(catalogue, tiny_llama, limits=PRICES)
        assert (result.judged, result.new, result.failures, result.missing, result.batches) == (8, 8, {}, [], [])
        assert result.spent == pytest.approx(16 * (100 * 1.0 + 20 * 10.0) / 1e6 / 2)
        assert [len(server.requests_of(name)) for name in server.batches] == [8, 8]
        asked = [request["body"]["messages"][0]["content"] for b in server.batches for request in server.requests_of(b)]
        assert sorted(asked) == sorted(plans[1].prompts)
        assert score(catalogue, tiny_llama).new == 0
        assert score(catalogue, tiny_llama, batch=None).new == 0, "the same judge as by direct calls"
        by_batch = scores(catalogue, tiny_llama)
    with FakeLLM() as direct, copy_of(two_authors, tmp_path / "direct.db") as catalogue:
        direct.misbehave = judge
        monkeypatch.setenv("OPENAI_BASE_URL", direct.url)
        assert score(catalogue, tiny_llama, batch=None).new == len(by_batch) == 8
        assert scores(catalogue, tiny_llama) == by_batch


def test_what_waits_is_collected_by_whoever_asks_next(
    two_authors: Path, tmp_path: Path, tiny_llama: Path, server: FakeBatches
) -> None:
    """Of one author, though the other is named; a direct run says so, a plan counts it, and nothing is paid twice."""
    server.misbehave = judge
    server.fate = lambda number: Fate(looks=3)
    with copy_of(two_authors, tmp_path / "c.db") as catalogue:
        first = score(catalogue, tiny_llama, llm="first", batch=Batching(0.01, wait=False))
        assert (first.new, len(first.missing), first.batches) == (0, 4, ["batch_0"])
        with pytest.raises(InputError, match=r"4 of these heads wait in a batch \(batch_0\)"):
            score(catalogue, tiny_llama, llm="first", batch=None)
        planned = pipeline.plan_scores(catalogue, str(tiny_llama), JUDGE, request=QUICK, batch=Batching())
        assert (len(planned.descriptions), planned.in_batches) == (4, 4)
        last = score(catalogue, tiny_llama, heads="0.0")
        assert last.new == 5, "head 0.0 of both, and what waits of the first"
        assert score(catalogue, tiny_llama).new == 3
        asked = Counter(json.dumps(call.request["messages"]) for call in server.answered)
        assert set(asked.values()) == {1}
        calls = pipeline.report(catalogue, str(tiny_llama))["calls"]
        assert sum(call["outcome"] == "ok" for call in calls) == len(server.answered)


def test_a_judgement_that_cannot_be_read_goes_back_and_then_fails(
    two_authors: Path, tmp_path: Path, tiny_llama: Path, server: FakeBatches
) -> None:
    server.misbehave = lambda call: Action(body=completion("no JSON")) if call.number in (0, 4) else judge(call)
    with copy_of(two_authors, tmp_path / "c.db") as catalogue:
        result = score(catalogue, tiny_llama, llm="first")
        assert (result.new, result.failures, len(server.batches)) == (4, {}, 2)
        server.misbehave = lambda call: Action(body=completion("no JSON"))
        failed = score(catalogue, tiny_llama, llm="second")
        assert set(failed.failures.values()) == {"invalid"}
        server.misbehave = judge
        assert score(catalogue, tiny_llama, llm="second", retry_failed=True).failures == {}


def test_comparing_by_batch_is_comparing(tmp_path: Path, tiny_llama: Path, server: FakeBatches) -> None:
    """All pairs of a head in one batch: the next question is asked before the one before is answered."""
    server.misbehave = same
    found = []
    for batch in (Batching(0.01), None):
        with Catalogue(str(tmp_path / f"{batch is None}.db"), create=True) as catalogue:
            described(catalogue, tiny_llama)
            asked: dict[str, Any] = {"judge": JUDGE, "request": QUICK}
            planned = pipeline.plan_stability(catalogue, str(tiny_llama), **asked, batch=batch)
            if batch is not None:
                result = pipeline.stability(catalogue, str(tiny_llama), **asked, batch=batch)
                assert (len(server.batches), len(server.answered)) == (1, planned.calls)
            found.append(planned.prompts)
    assert found[0] == found[1]
    towns, mixed = (stable for _, stable in result.heads)
    assert towns.own == pytest.approx((0.6, 0.6, 0.2))
    assert mixed.own == (0.5, 0.5, 0.0)


def test_what_cannot_be_batched_is_one_line(
    two_authors: Path, tmp_path: Path, tiny_llama: Path, headscribe: Callable[..., Any]
) -> None:
    shutil.copy(two_authors, tmp_path / "catalogue.db")
    key = {"OPENAI_API_KEY": "none"}
    for arguments, said in (
        (("score", "--judge", "openai:judge", "--measure", "likelihood"), "asks chats only"),
        (("score", "--judge", "gguf:demo"), "Batch API"),
        (("stability", "--judge", "statistics"), "only an LLM"),
        (("stability", "--embedding", str(tiny_llama)), "only an LLM"),
    ):
        command, *options = arguments
        done = headscribe(command, tiny_llama, *options, "--batch", **key)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr


def test_a_batch_from_before_there_were_tasks_is_collected(
    tmp_path: Path, tiny_llama: Path, server: FakeBatches
) -> None:
    """An older headscribe left it: the upgrade takes it for one of describing, which all of them were."""
    server.fate = lambda number: Fate(looks=2)
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        asked: dict[str, Any] = {"request": QUICK, "heads": "0", "reading": "paper", "device": "cpu"}
        llm = parse_llm("openai:fake-1")
        pipeline.describe(catalogue, str(tiny_llama), llm, **asked, batch=Batching(0.01, wait=False))
    kept = ("model", "extraction", "head", "labeller", "batch", "batch_request")
    at_revision("0014", tmp_path / "c.db", f"sqlite:///{tmp_path / 'older.db'}", kept)
    with Catalogue(str(tmp_path / "older.db")) as catalogue:
        result = pipeline.describe(catalogue, str(tiny_llama), llm, **asked, batch=Batching(0.01))
        assert (result.new, len(server.batches)) == (4, 1)
        assert sorted(result.heads) == [HeadId(0, head) for head in range(4)]
