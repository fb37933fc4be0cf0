"""``describe --roles``: each role asked about by its own rows, once, whatever kills the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.catalog.roles import Role
from describe.errors import CatalogueError
from describe.llm import Request, parse_llm
from describe.pipeline.evidence import statistics_settings
from describe.pipeline.role_rows import roles_settings
from describe.records import Evidence, HeadId
from describe.text import quoted
from tests.fake_llm import Action, FakeLLM, completion, right_answer
from tests.heads import head_record, head_records
from tests.warm import Process

FOUND = Evidence("name", "inputs", "wording", 3, 3, 0.1, 1.0, 0.01, 0.01, ('" a"',))
ROWS = ((0, 3, 5), (1, 2, 4))


def split(catalogue: Catalogue, model: Path, *, evidence: tuple[int, ...] = (1, 2)) -> int:
    """The four heads of the first layer with two roles each, as if found in their weights; the others with one."""
    extraction = pipeline.extract(catalogue, str(model), reading="paper", device="cpu").extraction_id
    tested = statistics_settings(catalogue, extraction)
    for head in sorted(catalogue.saved_heads(extraction)):
        several = [Role("promotes", rows, (), 0.5, 5.0, 0.01) for rows in ROWS]
        one = [Role("promotes", tuple(range(30)), (), 1.0, 5.0, 1.0)]
        found = several if head.layer == 0 else one
        catalogue.roles.save(extraction, head, found, roles_settings(), {})
        for role in range(1, len(found) + 1):
            said = [FOUND] if role in evidence else []
            catalogue.roles.save_evidence(extraction, head._replace(role=role), tested, said)
    return extraction


def told(catalogue: Catalogue, model: Path) -> dict[HeadId, dict[str, Any]]:
    """Descriptions by head and role; each right: of this head's row that the role begins with."""
    info, extraction = pipeline.find(catalogue, str(model))
    found = {}
    for record in head_records(catalogue, info, extraction):
        for description in record["descriptions"]:
            unit = HeadId(record["layer"], record["head"], description["role"] or 0)
            first = record["salient"][ROWS[unit.role - 1][0] if unit.role else 0]
            assert description["inputs"] == " ".join(f"tokens like {quoted(first['token'])}".split())
            assert unit not in found
            found[unit] = description
    return found


UNITS = {HeadId(0, head, role) for head in range(4) for role in (1, 2)}


def test_kill_9_and_again(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, start: Callable[..., Process]) -> None:
    """What was answered is not asked again; in the end every role is described once, by its own rows."""
    pytest.importorskip("lemminflect", reason="needs pip install 'headscribe[evidence]'")
    place = tmp_path / "c.db"
    with Catalogue(str(place), create=True) as catalogue:
        split(catalogue, tiny_llama)
    fake_llm.misbehave = lambda call: Action(delay=0.1, body=completion(json.dumps(right_answer(call))))
    asked = (
        "describe",
        tiny_llama,
        "--roles",
        "--heads",
        "0,1.0",
        "--placebos",
        "0",
        "--quiet",
        "--llm",
        "openai:fake-1",
    )
    environment = {**os.environ, **fake_llm.environment, "HEADSCRIBE_CATALOG": str(place)}
    command = partial(start, *asked, "--concurrency", "2", env=environment, stderr=subprocess.PIPE)
    process = command()
    deadline = time.monotonic() + 60
    while len(fake_llm.answered) < 4 and process.poll() is None:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    with Catalogue(str(place)) as catalogue:
        before = told(catalogue, tiny_llama)
        paid = sum(call["outcome"] == "ok" for call in pipeline.report(catalogue, str(tiny_llama))["calls"])
    seen = len(fake_llm.calls)
    again = command()
    _, complaint = again.communicate(timeout=60)
    assert again.returncode == 0, complaint
    assert len(fake_llm.calls) - seen == 9 - paid
    with Catalogue(str(place)) as catalogue:
        after = told(catalogue, tiny_llama)
    assert after.keys() == UNITS | {HeadId(1, 0)}, "one role is one description, of the head"
    assert before.items() <= after.items()


def test_roles_that_nothing_supports_are_not_described(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lemminflect", reason="needs pip install 'headscribe[evidence]'")
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    asked: dict[str, Any] = {"request": Request(), "heads": "0", "roles": True}
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        pipeline.extract(catalogue, str(tiny_llama), reading="paper", device="cpu")
        with pytest.raises(CatalogueError, match="headscribe roles"):
            pipeline.plan(catalogue, str(tiny_llama), parse_llm("openai:fake-1"), **asked)
        split(catalogue, tiny_llama, evidence=(2,))
        found = pipeline.plan(catalogue, str(tiny_llama), parse_llm("openai:fake-1"), **asked)
        supported = [HeadId(0, head, 2) for head in range(4)]
        assert (found.heads, sorted(found.prompts)) == (supported, supported)
        result = pipeline.describe(catalogue, str(tiny_llama), parse_llm("openai:fake-1"), device="cpu", **asked)
        assert (result.heads, result.new, result.failures) == (supported, 4, {})
        assert sorted(told(catalogue, tiny_llama)) == supported
        assert {call.prompt for call in fake_llm.calls} == set(found.prompts.values())


def test_the_command_finds_roles_once(tmp_path: Path, tiny_llama: Path, headscribe: Any) -> None:
    """From weights to catalogue, then from the catalogue; what it shows is what one head's JSON has."""
    pytest.importorskip("lemminflect", reason="needs pip install 'headscribe[evidence]'")
    first = headscribe("roles", tiny_llama, "--reading", "paper", "--heads", "0,2.1", "--device", "cpu", "--json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    heads = {(role["layer"], role["head"]) for role in found}
    assert heads == {(0, 0), (0, 1), (0, 2), (0, 3), (2, 1)}
    for head in heads:
        of_head = [role for role in found if (role["layer"], role["head"]) == head]
        assert 0 < sum(role["share"] for role in of_head) <= 1 + 1e-9
        assert all(role["reach"] > 0 and 0.01 <= role["p_value"] <= 1 for role in of_head)
    with Catalogue(str(tmp_path / "catalogue.db")) as catalogue:
        again = pipeline.roles(catalogue, str(tiny_llama), heads="0,2.1", device="cpu")
        assert (again.new, len(again.heads)) == (0, 5)
        shown = head_record(catalogue, str(tiny_llama), HeadId(2, 1))
    listed = [{name: role[name] for name in ("role", "sign", "rows", "share")} for role in shown["roles"]]
    expected = [role for role in found if (role["layer"], role["head"]) == (2, 1)]
    assert listed == [{name: role[name] for name in ("role", "sign", "rows", "share")} for role in expected]
