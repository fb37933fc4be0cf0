"""Several LLMs in one run: what each may spend, and when batches are waited for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from describe.errors import InputError, LLMError
from describe.llm import LLM, parse_llm
from describe.pipeline import Batching, Limits, by_each
from describe.pipeline.llm_stage.run import StageResult
from describe.records import ModelInfo

INFO = ModelInfo("m", "ab" * 32, "llama", 1, 1, 1, 8, 4, 50)
A, B = parse_llm("openai:a"), parse_llm("openai:b")


@dataclass
class Stub:
    """Runs as they are told to end: the US dollars spent and promised, or an error."""

    ends: list[tuple[float, float] | InputError]
    asked: list[tuple[LLM, float | None, bool]] = field(default_factory=list)

    def __call__(self, llm: LLM, limits: Limits, batch: Batching | None) -> StageResult:
        self.asked.append((llm, limits.budget, batch is not None and batch.wait))
        end = self.ends.pop(0)
        if isinstance(end, InputError):
            raise end
        return StageResult(model=INFO, extraction_id=1, spent=end[0], promised=end[1], interrupted=end[0] < 0)


def test_each_has_what_the_others_leave_of_the_budget() -> None:
    ended = LLMError("no credit")
    ended.spent = 2.0
    stub = Stub([ended, (1.0, 0.0), (0.0, 0.0)])
    found = list(by_each([A, B, parse_llm("statistics")], Limits(budget=5.0, price_in=1.0), None, stub))
    assert [left for _, left, _ in stub.asked] == [5.0, 3.0, 2.0]
    assert found[0] == (A, ended)
    assert [llm for llm, _ in found[1:]] == [B, parse_llm("statistics")]


def test_batches_of_all_are_submitted_before_any_is_waited_for() -> None:
    stub = Stub([(0.0, 3.0), (0.0, 1.0), (2.0, 0.0), (1.0, 0.0)])
    found = list(by_each([A, B], Limits(budget=5.0), Batching(), stub))
    assert stub.asked == [(A, 5.0, False), (B, 2.0, False), (A, 4.0, True), (B, 3.0, True)]
    assert [llm for llm, _ in found] == [A, B], "each is told of once"


@pytest.mark.parametrize("batch", [None, Batching()])
def test_an_interrupt_ends_all(batch: Batching | None) -> None:
    stub = Stub([(-1.0, 0.0)])
    ((llm, result),) = by_each([A, B], Limits(), batch, stub)
    assert llm == A
    assert isinstance(result, StageResult)
    assert result.interrupted
