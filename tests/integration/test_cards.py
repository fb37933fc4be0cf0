"""Cards worded over real HTTP: what does not rest on its evidence is asked for again, and then is a failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from describe.catalog import Catalogue
from tests.fake_llm import Action, Call, FakeLLM, completion
from tests.headlined import headlined


def reply(call: Call, figure: str | None = None) -> Action:
    """A card that says the first line of the evidence again; with another figure, one that does not rest on it."""
    line = call.prompt.split("\n1. ")[1].split("\n")[0]
    text = figure or line[:400]
    statement = {"text": text, "evidence": [1]}
    card = {"headline": {"text": line.partition(": ")[2][:100], "evidence": [1]}, "sentences": [statement, statement]}
    return Action(body=completion(json.dumps(card)))


def test_cards_are_worded_checked_and_shown(
    tmp_path: Path, fake_llm: FakeLLM, headscribe: Callable[..., CompletedProcess[str]]
) -> None:
    headlined(str(tmp_path / "catalogue.db")).close()
    ask = ("describe", "m", "--cards", "--llm", "openai:fake-1")
    dry = headscribe(*ask, "--dry-run", **fake_llm.environment)
    assert "cards    3 of m to word: 0.0, 0.1, 1.0" in dry.stdout
    assert not fake_llm.calls

    fake_llm.misbehave = lambda call: reply(call, "It is 0.77." if "suppresses names: 0.80" in call.prompt else None)
    first = headscribe(*ask, **fake_llm.environment)
    assert first.returncode == 1
    assert "1 heads failed: 0.0 (invalid)" in first.stderr
    assert "worded: the cards of 2 of 3 heads; under another head's evidence the check passes 0." in first.stdout
    assert len(fake_llm.calls) == 4
    asked_again = next(call for call in fake_llm.calls if len(call.request["messages"]) == 3)
    assert "0.77, which does not stand in the evidence" in asked_again.request["messages"][2]["content"]

    fake_llm.misbehave = reply
    assert headscribe(*ask, **fake_llm.environment).returncode == 1
    assert len(fake_llm.calls) == 4
    again = headscribe(*ask, "--heads", "0.0", "--retry-failed", **fake_llm.environment)
    assert (again.returncode, len(fake_llm.calls)) == (0, 5)

    shown = headscribe("show", "m", "0.0").stdout
    assert shown.index("\nsuppresses names") < shown.index("worded by openai:fake-1 (card-1)")
    assert "suppresses names: 0.80 of 40 pairs [1]" in shown
    assert "of 2 other heads" in shown
    headscribe("export", "m", "--format", "jsonl", "-o", tmp_path / "m.jsonl")
    headscribe("import", tmp_path / "m.jsonl", HEADSCRIBE_CATALOG=str(tmp_path / "other.db"))
    with Catalogue(str(tmp_path / "catalogue.db")) as own, Catalogue(str(tmp_path / "other.db")) as other:
        both = [[r.worded for r in c.head_records(c.models()[0], 1)] for c in (own, other)]
    assert both[0] == both[1]
    assert [len(worded) for worded in both[0]] == [1, 1, 1, 0]


def test_a_card_is_refused_in_one_line(tmp_path: Path, headscribe: Callable[..., CompletedProcess[str]]) -> None:
    headlined(str(tmp_path / "catalogue.db")).close()
    ask = ("describe", "m", "--cards", "--llm")
    for arguments, complaint in (
        (("statistics",), "--cards has an LLM word cards, and statistics is none"),
        (("gguf:demo", "--roles"), "leave out --roles and --placebos"),
        (("gguf:demo", "--heads", "9.0"), "9.0"),
        (("gguf:demo", "--prompt", "salient-2"), "the unknown field"),
    ):
        done = headscribe(*ask, *arguments)
        assert (done.returncode, complaint in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
    prompt = headscribe("describe", "m", "--cards", "--show-prompt", "0.0").stdout
    assert "\n1. operation, by its weights: suppresses names: 0.80 of 40 pairs\n" in prompt
