"""``score --measure write``: the words that a judge wrote by descriptions, put to the heads themselves.

No LLM takes part: the weights answer, for the head that is described, for random heads with its singular values and
for the model's other heads, layer by layer.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue, Told
from describe.pipeline.common import Progress
from describe.readings import Reading
from describe.records import HeadId, Score

if TYPE_CHECKING:
    from torch import Tensor

    from describe.maps import LayerView, Rows
    from describe.maps.written import Answers, RandomHeads, TargetSpread, Written
    from describe.scoring.write import WrittenWords
    from describe.weights import HeadWeights
    from describe.weights.model import LayerWeights

__all__ = ["SETTINGS", "Sitting", "put_to_heads"]

SETTINGS = {"version": 1, "words": 20, "company": 20, "random": 200, "seed": 0}
"""Words asked for, tokens as common as each that it is held against, and random heads that give the level."""

TOO_FEW = "too_few_words"

BAND = 500
"""Tokens to either side that are about as common as one, at least."""


@dataclass(frozen=True)
class Sitting:
    """A description with the words that a judge wrote by it.

    Attributes:
        head: whose description it is; of a placebo, the own head whose place it takes.
        random: the head is a random one, made anew from the own head's singular values.
        words: as the judge wrote them; ``wrong``: those written by the description of another head, ``wrong_head``.
        suppressed: the outputs are expected to be pushed down.
        shown: the sources that the describer saw: they do not count.
    """

    told: Told
    head: HeadId
    random: bool
    words: WrittenWords
    wrong: WrittenWords | None
    wrong_head: HeadId | None
    suppressed: bool
    shown: frozenset[str]


def put_to_heads(
    catalogue: Catalogue, model: str, own: int, sittings: Sequence[Sitting], device: str, progress: Progress
) -> Iterator[tuple[Sitting, Score]]:
    """The score of each description by what the heads do with the words."""
    from describe.pipeline.common import choose_device
    from describe.pipeline.extraction.compute import Means
    from describe.pipeline.extraction.views import layer_views
    from describe.weights import open_model

    if not sittings:
        return
    settings = catalogue.extraction_settings(own)
    dtype = str(settings.get("dtype", "float32"))
    weights, means = open_model(model), Means(choose_device(device, dtype), dtype)
    heads = _Heads(weights, sittings)
    layers = range(weights.info.n_layers)
    for done, (layer, view) in enumerate(
        layer_views(model, weights, Reading.of(settings), layers, means, progress), start=1
    ):
        heads.answer(layer, view)
        progress("test words", done, len(layers))
    for number, sitting in enumerate(sittings):
        yield sitting, heads.score(number)


class _Heads:
    """All heads of a model and what they make of the words of each sitting, as far as layers have come by."""

    def __init__(self, weights: HeadWeights, sittings: Sequence[Sitting]) -> None:
        self._weights, self._sittings = weights, sittings
        self._of_layer: defaultdict[int, list[int]] = defaultdict(list)
        for number, sitting in enumerate(sittings):
            self._of_layer[sitting.head.layer].append(number)
        self._written: list[Written | None] = []
        self._own: dict[int, Answers] = {}
        self._wrong: dict[int, float] = {}
        self._random: dict[int, Tensor] = {}
        self._others: list[list[float]] = [[] for _ in sittings]
        self._spread: TargetSpread | None = None
        self._unembed: Rows | None = None
        self._drawn: RandomHeads | None = None
        self._tokens: _Tokens | None = None

    def answer(self, layer: int, view: LayerView) -> None:
        """Put all words to the heads of a layer, and those of its described heads to random ones too."""
        from describe.maps.written import answers, target_spread

        if self._tokens is None:
            self._tokens = _Tokens(self._weights, view)
            self._written = [self._tokens.written(sitting, sitting.words) for sitting in self._sittings]
        if self._spread is None or view.unembed is not self._unembed:  # a lens is one of the layer
            self._spread, self._drawn, self._unembed = target_spread(view), None, view.unembed
        heads = self._weights.layer(layer)
        there = [(number, one) for number, one in enumerate(self._written) if one is not None]
        for (number, _), found in zip(there, answers(view, heads, self._spread, [w for _, w in there]), strict=True):
            sitting, both = self._sittings[number], found.both
            mine = sitting.head.head if sitting.head.layer == layer and not sitting.random else None
            self._others[number] += [float(both[head]) for head in range(len(both)) if head != mine]
            if mine is not None:
                self._own[number] = _of_head(found, mine)
        for number in self._of_layer[layer]:
            self._of_described(number, layer, view, heads)

    def _of_described(self, number: int, layer: int, view: LayerView, heads: LayerWeights) -> None:
        """The described head itself, if it is a random one; what wrong words come to there; and its random heads."""
        from describe.maps import random_heads
        from describe.maps.roles import singular_values
        from describe.maps.written import RandomHeads, answers
        from describe.pipeline.extraction.compute import seeds_of

        sitting, written = self._sittings[number], self._written[number]
        assert self._tokens is not None
        assert self._spread is not None
        if written is None:
            return
        place, its = sitting.head.head, heads
        if sitting.random:
            place, its = 0, random_heads(heads, [sitting.head.head], seeds_of(self._weights.info, layer)[0])
            self._own[number] = _of_head(answers(view, its, self._spread, [written])[0], 0)
        against = None if sitting.wrong is None else self._tokens.written(sitting, sitting.wrong)
        if against is not None:
            self._wrong[number] = float(answers(view, its, self._spread, [against])[0].both[place])
        singular = singular_values(heads, sitting.head.head, view.x.norms)
        if self._drawn is None:
            shape = {"d": self._weights.info.d_model, "width": len(singular)}
            drawn = {"heads": SETTINGS["random"], "seed": SETTINGS["seed"]}
            self._drawn = RandomHeads(self._spread, view.x.norms, **shape, **drawn)
        self._random[number] = self._drawn.answers(view, singular, written).both

    def score(self, number: int) -> Score:
        """The score of a sitting: the mean of inputs and outputs, its t interval over words, and its level."""
        from describe.scoring.measures import mean_over_rows

        sitting, written = self._sittings[number], self._written[number]
        said = [[word, list(outputs)] for word, outputs in sitting.words.words]
        if written is None:
            detail = "fewer than five of the words are single tokens that count and were not shown to the describer"
            return Score("write", None, n=0, failure=TOO_FEW, detail=detail, found={"written": said})
        own, random, others = self._own[number], self._random[number], self._others[number]
        value = float(own.both[0])
        of_words = (own.inputs[0] + own.outputs[0].nan_to_num(0.5)) / 2
        _, low, high = mean_over_rows(of_words.tolist())
        found: dict[str, Any] = {
            "inputs": float(own.of_inputs[0]),
            "outputs": float(own.of_outputs[0]),
            "p": (1 + int((random >= value).sum())) / (1 + len(random)),
            "random": {"mean": float(random.mean()), "most": float(random.max()), "heads": len(random)},
            "other_heads_above": sum(other >= value for other in others) / max(1, len(others)),
            "counted": len(written.inputs),
            "written": said,
            "usage": sitting.words.usage,
        }
        if number in self._wrong:
            found["placebo"] = {"head": str(sitting.wrong_head), "value": self._wrong[number]}
        low, high = max(0.0, low), min(1.0, high)
        return Score("write", value, low, high, wrong=self._wrong.get(number), n=len(written.inputs), found=found)


def _of_head(found: Answers, head: int) -> Answers:
    from describe.maps.written import Answers

    return Answers(found.inputs[head : head + 1], found.outputs[head : head + 1])


class _Tokens:
    """From words to places in a view. A word of several tokens does not count: what a head does is known of tokens."""

    def __init__(self, weights: HeadWeights, view: LayerView) -> None:
        self._weights = weights
        self._sources = {token: place for place, token in enumerate(view.sources.tolist())}
        self._targets = {token: place for place, token in enumerate(view.targets.tolist())}

    @cached_property
    def _by_commonness(self) -> tuple[dict[str, list[int]], dict[int, int]]:
        """The source tokens, the commonest first, by the form of their text; and where each stands there."""
        forms: dict[str, list[int]] = {}
        for token in self._weights.pieces.order:
            if token in self._sources:
                forms.setdefault(_form(self._weights.tokens[token]), []).append(token)
        return forms, {token: at for tokens in forms.values() for at, token in enumerate(tokens)}

    @cached_property
    def _by_text(self) -> dict[str, list[int]]:
        """The source tokens by their text, without regard to spaces and case."""
        found: dict[str, list[int]] = {}
        for token in self._sources:
            found.setdefault(_plain(self._weights.tokens[token]), []).append(token)
        return found

    def written(self, sitting: Sitting, words: WrittenWords) -> Written | None:
        """The words that count; None where they are too few."""
        import torch

        from describe.maps.written import Written
        from describe.scoring.write import LEAST

        found: dict[int, tuple[int, ...]] = {}
        for word, outputs in words.words:
            token = self._token(word, self._sources)
            if token is not None and _plain(self._weights.tokens[token]) not in sitting.shown:
                expected = (self._token(output, self._targets) for output in outputs)
                found.setdefault(token, tuple(self._targets[one] for one in expected if one is not None))
        if len(found) < LEAST:
            return None
        company = [self._company(token, found, sitting.shown) for token in found]
        width = min(map(len, company))
        return Written(
            torch.tensor([self._sources[token] for token in found]),
            torch.tensor([[self._sources[token] for token in tokens[:width]] for tokens in company]),
            tuple(tuple(dict.fromkeys(places)) for places in found.values()),
            sitting.suppressed,
        )

    def _token(self, word: str, known: dict[int, int]) -> int | None:
        """The token of a word: inside a sentence first, then as it stands; of a piece, written "-ing", as it stands."""
        bare = word.strip().strip('"') or word
        forms = (bare[1:],) if bare.startswith("-") and len(bare) > 1 else (f" {bare}", bare)
        tokens = (self._weights.token_id(form) for form in forms)
        return next((token for token in tokens if token in known), None)

    def _company(self, token: int, written: Iterable[int], shown: frozenset[str]) -> list[int]:
        """Tokens of the same form that are about as common, up to twice or half as far from the commonest; drawn at
        random, the same every time."""
        forms, at = self._by_commonness
        alike, place = forms[_form(self._weights.tokens[token])], at[token]
        first, last = min(place // 2, place - BAND), max(2 * place, place + BAND)
        left_out = {token, *written, *(one for text in shown for one in self._by_text.get(text, ()))}
        near = [one for one in alike[max(0, first) : last] if one not in left_out]
        luck = random.Random(f"{SETTINGS['seed']} {token}")  # noqa: S311  (no secret)
        return luck.sample(near, min(SETTINGS["company"], len(near)))


def _plain(token: str) -> str:
    return token.strip().casefold()


def _form(token: str) -> str:
    """Whether it begins a word: what a judge writes mostly does, and that alone is no merit."""
    return "begins a word" if token.startswith(" ") else "goes on"
