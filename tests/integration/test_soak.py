"""The soak test: many heads, a server that fails in every way, a client that is killed again and again.

``HEADSCRIBE_SOAK=1`` (or ``make soak``) takes 2,000 heads and twenty kills, which are minutes; otherwise it is small.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from describe import pipeline
from describe.catalog import Catalogue
from describe.llm import ANSWERED
from describe.records import LOST
from describe.text import quoted
from tests import tiny
from tests.fake_llm import Action, Call, FakeLLM, completion, right_answer, right_reply
from tests.heads import head_records
from tests.warm import Process

LARGE = os.environ.get("HEADSCRIBE_SOAK") == "1"
HEADS, KILLS = (2000, 20) if LARGE else (200, 3)
IN_FLIGHT = 32
RIGHT, BAD = right_answer, {"error": {"message": "not now"}}


def fault(call: Call) -> Action | None:
    """What goes wrong with a call: the same for the same number, so that every kind comes up."""
    dice = random.Random(call.number)
    said = json.dumps(RIGHT(call))
    faults = [
        Action(429, BAD, {"Retry-After": "0.05"}),
        Action(429, BAD, {"retry-after-ms": "30"}),
        Action(500, BAD),
        Action(503, b"<html>overloaded</html>"),
        Action(reset=True),
        Action(body=right_reply(call), delay=2.5),  # hangs: longer than the time-out
        Action(body=right_reply(call), share=0.5),  # the body breaks off
        Action(body=right_reply(call), seconds=0.5),  # a slow stream
        Action(body=completion(said[: len(said) // 2])),  # the LLM's JSON breaks off
        Action(body=completion(said + "\n" + said)),  # said twice
        Action(body=completion(None)),
        Action(body=completion(said, finish_reason="length")),
        Action(body=b"{}"),
    ]
    return dice.choice(faults) if dice.random() < 0.15 else Action(body=right_reply(call), delay=0.02)


def test_nothing_is_lost_or_paid_twice_whatever_happens(
    tmp_path: Path, fake_llm: FakeLLM, start: Callable[..., Process]
) -> None:
    shape = {"num_hidden_layers": HEADS // 100, "num_attention_heads": 100, "num_key_value_heads": 1}
    model = tiny.save(tiny.tiny_model("llama", hidden_size=200, **shape), tmp_path / "wide")
    fake_llm.misbehave = fault
    place = str(tmp_path / "soak.db")
    with Catalogue(place, create=True) as catalogue:
        pipeline.extract(catalogue, str(model), device="cpu")
    named = (
        "describe",
        model,
        "--llm",
        "openai:fake-1",
        "--placebos",
        "0",
        "--catalog",
        place,
        "--concurrency",
        IN_FLIGHT,
        "--quiet",
    )
    options = ("--timeout", "1.5", "--attempts", "20", "--give-up-after", "500")
    begin = partial(start, *named, *options, env={**os.environ, **fake_llm.environment})
    dice = random.Random(7)
    for _ in range(KILLS):
        calls = len(fake_llm.calls)
        run = begin(stderr=subprocess.DEVNULL)
        while run.poll() is None and len(fake_llm.calls) < calls + dice.randrange(20, max(21, HEADS // KILLS)):
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait()
    done = begin(stderr=subprocess.PIPE)
    _, complaint = done.communicate(timeout=600)
    assert done.returncode in (0, 1), complaint
    time.sleep(0.3)  # the server's last threads
    with Catalogue(place) as catalogue:
        check(catalogue, str(model), fake_llm)


def check(catalogue: Catalogue, model: str, server: FakeLLM) -> None:
    records = list(head_records(catalogue, *pipeline.find(catalogue, model)))
    outcomes = Counter(found["failure"] for record in records for found in record["descriptions"])
    assert [len(record["descriptions"]) for record in records] == [1] * HEADS, "every head has one outcome"
    assert set(outcomes) <= {None, "empty", "truncated", "invalid"}, "what another try mends is no outcome"
    for record in records:
        (found,) = record["descriptions"]
        if found["failure"] is None:
            source = quoted(record["salient"][0]["token"])
            assert found["inputs"] == " ".join(f"tokens like {source}".split()), "the answer is about this head"
    calls: list[dict[str, Any]] = pipeline.report(catalogue, model)["calls"]
    by_id = {call["client_id"]: call for call in calls}
    assert len(by_id) == len(calls), "every call has a name of its own"
    received = {call.client_id for call in server.calls}
    assert received <= set(by_id), "the server received nothing that the ledger does not know"
    unsent = set(by_id) - received
    assert {by_id[name]["outcome"] for name in unsent} <= {LOST, "connection", "timeout"}
    answered = Counter(call.client_id for call in server.answered)
    assert set(answered.values()) == {1}
    in_ledger = {name for name, call in by_id.items() if call["outcome"] in ANSWERED}
    assert in_ledger <= set(answered), "the ledger holds no answer that the server did not give"
    missed = Counter(by_id[name]["outcome"] for name in set(answered) - in_ledger)
    lost = sum(call["outcome"] == LOST for call in calls)
    assert set(missed) <= {LOST, "timeout", "server_error"}, missed
    assert missed[LOST] <= lost <= KILLS * IN_FLIGHT
    paid: set[str] = set()
    for call in calls:
        assert call["request_hash"] not in paid, "what was answered was asked again"
        if call["outcome"] in ANSWERED:
            paid.add(call["request_hash"])
    print(f"{len(server.calls)} calls received, {len(answered)} answered, {lost} lost by kills, {dict(outcomes)}")
