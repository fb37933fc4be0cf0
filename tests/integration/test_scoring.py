"""Judging over real HTTP: planted heads as ground truth, kill -9, failures, statistics on the demo model."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from describe import pipeline
from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from describe.catalog.roles import Role, Sign
from describe.inference.planted import Planted, planted_model
from describe.llm import Request, parse_llm
from describe.records import Description, HeadId
from describe.text import quoted
from tests.fake_llm import Action, Call, FakeLLM, completion
from tests.heads import head_records
from tests.warm import Process

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def judged(call: Call, true: Callable[[str, str], float]) -> Action | None:
    """A judge's reply: of each row its probability by source and targets; None where the call is none of a judge."""
    rows = re.findall(r"^\d+\. (\".*\") -> (.*)$", call.prompt, re.MULTILINE)
    if not rows:
        return None
    found = [{"row": i, "probability": true(*told)} for i, told in enumerate(rows, 1)]
    return Action(body=completion(json.dumps({"rows": found})))


def knowing(planted: Planted) -> Callable[[Call], Action | None]:
    """A judge that knows what both halves of the planted descriptions mean: which words are the head's inputs, and
    which pairs are of that operation. Noise hides the targets of a few inputs, and of these it is in doubt."""

    def judge(call: Call) -> Action | None:
        said = re.search(r"^What it does with them: (.*)$", call.prompt, re.MULTILINE)
        pairs = next(set(h.pairs) for h in planted.heads.values() if said and h.description_pattern == said[1])
        inputs = {source for source, _ in pairs}

        def true(source: str, targets: str) -> float:
            source = source.strip('" ')
            if any((source, target.strip('" ')) in pairs for target in targets.split(", ")):
                return 0.9
            return 0.3 if source in inputs else 0.1

        return judged(call, true)

    return judge


def test_planted_descriptions_are_found_true_and_wrong_ones_not(
    tmp_path: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    planted = planted_model(tmp_path / "planted")
    fake_llm.misbehave = knowing(planted)
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        own = pipeline.extract(catalogue, str(planted.path), reading="paper", device="cpu").extraction_id
        for suppresses in (False, True):
            settings = {"shows": "suppressed"} if suppresses else {}
            author = catalogue.register_labeller("oracle", f"planted-{suppresses}", "", settings)
            for head, does in planted.heads.items():
                if does.suppresses == suppresses:
                    told = Description(does.description_inputs, does.description_pattern)
                    catalogue.save_description(own, head, author, told, {})
        request = Request(timeout=5.0, attempts=2)
        result = pipeline.score(catalogue, str(planted.path), parse_llm("openai:judge"), request=request)
        assert (result.judged, result.new, result.failures) == (5, 5, {})
        assert len(fake_llm.calls) == 5 + 4, "wrong descriptions too, of the four that have another beside them"
        assert pipeline.score(catalogue, str(planted.path), parse_llm("openai:judge"), request=request).new == 0
        promoting, suppressing = pipeline.score_report(catalogue, str(planted.path))
        scored = {
            planted.heads[HeadId(record["layer"], record["head"])].kind: score["value"]
            for record in head_records(catalogue, *pipeline.find(catalogue, str(planted.path)))
            for described in record["descriptions"]
            for score in described["scores"]["detection"].values()
        }
    assert set(scored) == {"copying", "shift", "facts", "lookup", "suppression"}
    assert min(scored.values()) > 0.95, scored
    assert promoting["wrong"]["value"] == pytest.approx(0.5, abs=0.1)
    assert suppressing["wrong"] is None
    assert promoting["placebos"] == {"shuffled": None, "random": None}, "not run, and said so"


def test_what_is_written_by_an_oracles_description_the_planted_head_does(
    tmp_path: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own description above 0.95; by another's, and by a list of what it writes, no better than chance."""
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    planted = planted_model(tmp_path / "planted")
    pairs = {f"{head.description_inputs} {head.description_pattern}": head.pairs for head in planted.heads.values()}

    def judge(call: Call) -> Action | None:
        inputs, pattern = re.findall(r"^(?:Inputs|What it does with them): (.*)$", call.prompt, re.MULTILINE)
        known = pairs[f"{inputs} {pattern}"]
        words = [{"input": source, "outputs": [target]} for source, target in known]
        return Action(body=completion(json.dumps({"words": words[-20:]})))

    fake_llm.misbehave = judge
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        own = pipeline.extract(catalogue, str(planted.path), device="cpu", reading="paper").extraction_id
        for suppresses in (False, True):
            settings = {"shows": "suppressed"} if suppresses else {}
            author = catalogue.register_labeller("oracle", f"planted-{suppresses}", "", settings)
            for head, does in planted.heads.items():
                if does.suppresses == suppresses:
                    told = Description(does.description_inputs, does.description_pattern)
                    catalogue.save_description(own, head, author, told, {})
        asked: dict[str, Any] = {"request": Request(timeout=5.0), "measure": "write", "device": "cpu"}
        result = pipeline.score(catalogue, str(planted.path), parse_llm("openai:judge"), **asked)
        assert (result.judged, result.new, result.failures, len(fake_llm.calls)) == (5, 5, {}, 5)
        assert pipeline.score(catalogue, str(planted.path), parse_llm("openai:judge"), **asked).new == 0
        assert len(fake_llm.calls) == 5, "one call a description, and none for a wrong one"
        promoting, _ = pipeline.score_report(catalogue, str(planted.path))
        records = head_records(catalogue, *pipeline.find(catalogue, str(planted.path)))
        scores = [s for r in records for d in r["descriptions"] for s in d["scores"]["write"].values()]
    assert len(scores) == 5
    for score in scores:
        assert score["value"] > 0.95, score
        assert score["found"]["p"] == pytest.approx(1 / 201), "more than any random head"
        assert score["found"]["other_heads_above"] < 0.1
        assert score["n"] >= 5
    assert promoting["wrong"]["value"] == pytest.approx(0.5, abs=0.1)
    assert promoting["beyond_chance"] == {"descriptions": 4, "of": 4}


def test_a_role_is_judged_by_its_own_rows_and_against_roles_of_its_sign(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two roles of either sign a head, by a judge that knows each role's held-out rows by what they do."""
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    signs: tuple[Sign, ...] = ("promotes", "suppresses", "promotes")
    held_out = (tuple(range(10)), tuple(range(10, 20)), (20, 21))
    rows: dict[str, dict[str, str]] = {}
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        own = pipeline.extract(catalogue, str(tiny_llama), device="cpu", heads="0").extraction_id
        authors = [catalogue.register_labeller(name, "roles", "", {}) for name in ("oracle", "echo")]
        for head in sorted(catalogue.saved_heads(own)):
            found = [Role(sign, (0,), of, 0.5, 5.0, 0.01) for sign, of in zip(signs, held_out, strict=True)]
            catalogue.roles.save(own, head, found, {}, {})
            next_rows = catalogue.mapping(own, head, held_out=True).held_out
            for number, role in enumerate(found, 1):
                unit = head._replace(role=number)
                way = "targets" if role.sign == "promotes" else "suppressed"
                of_role = [next_rows[i] for i in role.held_out]
                rows[str(unit)] = {
                    quoted(r.token): ", ".join(quoted(t.token) for t in getattr(r, way)) for r in of_role
                }
                for author in authors:
                    catalogue.save_description(own, unit, author, Description("words", f"does {unit}."), {})

        def judge(call: Call) -> Action | None:
            knows = rows[re.findall(r"does (\d\.\d role \d)\.", call.prompt)[-1]]

            def true(source: str, targets: str) -> float:
                return 0.9 if all(target in knows.get(source, "") for target in targets.split('", "')) else 0.1

            return judged(call, true)

        fake_llm.misbehave = judge
        asked: dict[str, Any] = {"request": Request(timeout=5.0), "llm": "oracle"}
        planned = pipeline.plan_scores(catalogue, str(tiny_llama), parse_llm("openai:judge"), **asked)
        assert (len(planned.descriptions), planned.no_rows, len(fake_llm.calls)) == (12, 4, 0)
        result = pipeline.score(catalogue, str(tiny_llama), parse_llm("openai:judge"), **asked)
        assert sorted(call.prompt for call in fake_llm.calls) == sorted(planned.prompts)
        assert (result.judged, result.new, set(result.failures.values())) == (12, 12, {"no_rows"})
        assert len(result.failures) == 4, "two rows are too few"
        asked["llm"] = "echo"
        for fresh, calls in ((False, 0), (True, 4)):  # who says the same is judged by the same replies
            before, asked["heads"] = len(fake_llm.calls), "0.1" if fresh else "0.0"
            pipeline.score(catalogue, str(tiny_llama), parse_llm("openai:judge"), **asked, fresh=fresh)
            assert len(fake_llm.calls) - before == calls
        row, _ = pipeline.score_report(catalogue, str(tiny_llama))
        records = head_records(catalogue, *pipeline.find(catalogue, str(tiny_llama)))
        for head, description in [(record["head"], one) for record in records for one in record["descriptions"]]:
            if description["llm"] == "echo":
                continue
            (score,) = description["scores"]["detection"].values()
            if score["failure"] is None:
                wrong = score["found"]["placebo"]["head"]
                assert not wrong.startswith(f"0.{head} ")
                assert signs[int(wrong[-1]) - 1] == signs[description["role"] - 1]
                assert score["n"] == 20
    assert (row["of"], row["heads"], row["scored"], row["failures"]) == ("roles", 12, 8, {"no_rows": 4})
    assert row["auroc"]["value"] > 0.95
    assert row["wrong"]["value"] < 0.6


def chosen(call: Call, right: float, *, as_llama_cpp: bool) -> Action | None:
    """Log-probabilities of a server: with a description it is sure of the source's targets, without it is not.

    It takes lists that begin with the source for the source's own, where the description says "same".
    """
    if call.request.get("logprobs") is None:
        return None
    assert call.request["max_tokens"] == 1
    source, a, b = re.findall(r"^(?:Word|A|B): (.*)$", call.prompt, re.MULTILINE)[-3:]
    described = "Does: same" in call.prompt
    letter = "A" if a.startswith(source[:-1]) else "B" if b.startswith(source[:-1]) else None
    sure = right if described and letter else 0.5
    likeliest = {
        f" {letter or 'A'}": math.log(sure * 0.8),
        f" {'A' if letter == 'B' else 'B'}": math.log((1 - sure) * 0.8),
    }
    top = [{"token": token, "logprob": value} for token, value in likeliest.items()]
    logprobs = {"content": [{"token": " A", "logprob": 0.0, "top_logprobs": top}]} if as_llama_cpp else None
    logprobs = logprobs or {"tokens": [" A"], "token_logprobs": [-1.0], "top_logprobs": [likeliest], "text_offset": [0]}
    choice = {"index": 0, "finish_reason": "length", "text": " A", "logprobs": logprobs}
    return Action(body=completion("") | {"object": "text_completion", "choices": [choice]})


@pytest.mark.parametrize("as_llama_cpp", [True, False])
def test_bits_that_a_description_saves(
    as_llama_cpp: bool, tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows whose targets begin with the source, by a judge that knows what "same" means: log2(0.9 / 0.5) bits each."""
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    fake_llm.misbehave = lambda call: chosen(call, 0.9, as_llama_cpp=as_llama_cpp)
    request = Request(timeout=5.0, attempts=2)
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        own = pipeline.extract(catalogue, str(tiny_llama), device="cpu", heads="0").extraction_id
        author = catalogue.register_labeller("oracle", "copies", "", {})
        for head, pattern in ((HeadId(0, 0), "same"), (HeadId(0, 1), "other")):
            catalogue.save_description(own, head, author, Description("words", pattern), {})
        copy_targets(catalogue, own, HeadId(0, 0))
        judge = parse_llm("openai:judge")
        result = pipeline.score(catalogue, str(tiny_llama), judge, request=request, measure="likelihood")
        assert (result.new, result.failures) == (2, {})
        asked = len(fake_llm.calls)
        assert pipeline.score(catalogue, str(tiny_llama), judge, request=request, measure="likelihood").new == 0
        assert len(fake_llm.calls) == asked
        record = next(head_records(catalogue, *pipeline.find(catalogue, str(tiny_llama))))
        (row,) = pipeline.score_report(catalogue, str(tiny_llama))
    (score,) = record["descriptions"][0]["scores"]["likelihood"].values()
    assert score["value"] == pytest.approx(math.log2(0.9 / 0.5), abs=1e-6)
    assert score["placebo"] == pytest.approx(0.0, abs=1e-6)
    assert score["found"]["right"] == 1.0
    assert (row["measure"], row["scored"], row["bits"]["n"]) == ("likelihood", 2, 2)


def copy_targets(catalogue: Catalogue, extraction_id: int, head: HeadId) -> None:
    """Give a head's held-out rows targets that begin as the source does, and that no other head has."""
    table = schema.head
    where = (table.c.extraction_id == extraction_id, table.c.layer == head.layer, table.c.head == head.head)
    with begin_write(catalogue.engine) as connection:
        held_out = connection.execute(select(table.c.held_out).where(*where)).scalar_one()
        for number, row in enumerate(held_out["next"]):
            row[3] = [[100_000 + number, row[1] + "x", 1.0]]
        connection.execute(table.update().where(*where).values(held_out=held_out))


def test_a_server_without_log_probabilities_is_one_line(headscribe: Run, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    assert (
        headscribe(
            "describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", 0, "-q", **fake_llm.environment
        ).returncode
        == 0
    )
    score = ("score", tiny_llama, "--judge", "openai:judge", "--measure", "likelihood", "-q")
    refused = Action(400, {"error": {"message": "logprobs are not supported with this model"}})
    silent = {"index": 0, "finish_reason": "length", "text": " A", "logprobs": None}
    for action in (Action(body=completion("") | {"object": "text_completion", "choices": [silent]}), refused):
        fake_llm.misbehave = lambda call, action=action: action  # type: ignore[misc]
        done = headscribe(*score, **fake_llm.environment)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "log-probabilities" in done.stderr
    done = headscribe("score", tiny_llama, "--judge", "openai:judge", "--measure", "taste", **fake_llm.environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_killed_between_reply_and_score_nothing_is_paid_twice(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, start: Callable[..., Process]
) -> None:
    """`kill -9` as the first judgements are in the ledger and the score is not in the catalogue."""
    fake_llm.misbehave = lambda call: judged(call, lambda source, targets: 0.5)
    environment = {**os.environ, **fake_llm.environment, "HEADSCRIBE_CATALOG": str(tmp_path / "c.db")}
    common = [str(tiny_llama), "--concurrency", "1", "-q"]

    def headscribe(*arguments: str) -> int:
        return start(*arguments, env=environment).wait(60)

    assert headscribe("describe", *common, "--llm", "openai:fake-1", "--placebos", "2") == 0
    asked_before = len(fake_llm.calls)
    code = (
        "import os, signal, sys\n"
        "from describe.catalog.scores import ScoreStore\n"
        "ScoreStore.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from app.main import main\n"
        "main(sys.argv[1:])"
    )
    arguments = ["score", *common, "--judge", "openai:judge"]
    assert headscribe("-c", code, *arguments) == -signal.SIGKILL
    assert len(fake_llm.calls) - asked_before == 2, "the description and a wrong one"
    assert headscribe(*arguments) == 0
    assert len(fake_llm.calls) - asked_before == 2 * 12 + 2 * 2, "own heads twice, placebos once"
    assert headscribe(*arguments) == 0
    assert len(fake_llm.calls) - asked_before == 28
    with Catalogue(environment["HEADSCRIBE_CATALOG"]) as catalogue:
        (report,) = pipeline.score_report(catalogue, str(tiny_llama))
    assert (report["scored"], report["auroc"]["value"], report["wrong"]["value"]) == (12, 0.5, 0.5)
    assert {kind: found["described"] for kind, found in report["placebos"].items()} == {"shuffled": 2, "random": 2}


def test_failures_are_kept_counted_and_asked_again_on_request(
    headscribe: Run, tiny_llama: Path, fake_llm: FakeLLM
) -> None:
    assert (
        headscribe(
            "describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", 0, "-q", **fake_llm.environment
        ).returncode
        == 0
    )
    fake_llm.misbehave = lambda call: Action(body=completion("no JSON"))
    score = ("score", tiny_llama, "--judge", "openai:judge", "--heads", "0.0,0.1")
    done = headscribe(*score, **fake_llm.environment)
    assert done.returncode == 1
    assert "0.0 by openai:fake-1 (invalid)" in done.stderr
    assert "placebo: not run" in done.stdout
    fake_llm.misbehave = lambda call: judged(call, lambda source, targets: 0.5)
    assert headscribe(*score, **fake_llm.environment).returncode == 1, "kept"
    assert headscribe(*score, "--retry-failed", **fake_llm.environment).returncode == 0
    (row,) = json.loads(headscribe("score", tiny_llama, "--report", "--json").stdout)
    assert (row["scored"], row["failures"]) == (2, {})


def test_what_cannot_be_judged_is_one_line(headscribe: Run, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    assert (
        headscribe(
            "describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", 0, "-q", **fake_llm.environment
        ).returncode
        == 0
    )
    for arguments, said in (
        (("--judge", "statistics"), "no head of"),
        (("--judge", "statistics", "--llm", "openai:fake-1"), "can judge the claims of --llm statistics only"),
        (("--judge", "openai:judge", "--judge-prompt", "nothing"), "judge-detection-1"),
        (("--judge", "openai:judge", "--heads", "9.9"), "9.9"),
    ):
        done = headscribe("score", tiny_llama, *arguments, **fake_llm.environment)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_statistics_judge_what_statistics_say_of_planted_heads(headscribe: Run, tmp_path: Path) -> None:
    model = planted_model(tmp_path / "planted").path
    described = headscribe("describe", model, "--llm", "statistics", "--reading", "paper", "--placebos", "3", "-q")
    assert described.returncode == 0, described.stderr
    done = headscribe("score", model, "--judge", "statistics", "--json")
    (row,) = json.loads(done.stdout)
    assert row["scored"] + sum(row["failures"].values()) == row["described"] <= row["heads"] == 24
    assert row["scored"] >= 3
    assert row["auroc"]["low"] > row["wrong"]["high"], "descriptions say more of their own heads than of others"
    assert row["placebos"]["random"]["heads"] == row["placebos"]["shuffled"]["heads"] == 3
