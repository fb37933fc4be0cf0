"""``headscribe extract --qk``: which pairs of tokens queries and keys connect, from the weights; is it so on text?

Queries and keys are those of the reading ``direct``: of the stream at each token behind its openings, whatever reading
the mappings of the extraction have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record import Json
from describe.head_record.query_key import QueryKeyPair, QueryKeyRecord
from describe.pipeline.common import Progress, choose_device, silent
from describe.readings import DIRECT
from describe.records import HeadId, ModelInfo

if TYPE_CHECKING:
    from torch import Tensor

    from describe.inference.query_key import QueriesAndKeys, QueryKeyReader
    from describe.maps.query_key import TokenLogits
    from describe.weights import HeadWeights

    Pairs = tuple[Tensor, Tensor, Tensor]

__all__ = ["query_key", "query_key_in_words"]

OFFSETS = 16
"""Offsets over which rotations are averaged, and at which attention on text is looked at."""

TOKENS, PAIRS, RANDOM = 2048, 10, 4
"""The commonest learnt tokens, pairs that are kept, and random heads in the place of each."""

TEXT = 16_384
"""Tokens of our corpus, of which every fourth document is looked at: those that no describer sees."""

LARGEST_OFFSET = 1024


def query_key(
    catalogue: Catalogue,
    model: str,
    info: ModelInfo,
    extraction_id: int,
    *,
    offset: int = 1,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[HeadId, QueryKeyRecord]:
    """The pairs of every head of a model, found and committed layer by layer where they are not there yet.

    ``offset``: by how many tokens the key stands before the query in the one ranking that averages nothing. Raises
    `InputError` for one that is none, `CheckpointError` where the model cannot be run or tells no queries and keys.
    """
    if not 1 <= offset <= LARGEST_OFFSET:
        raise InputError(f"--offset must be from 1 to {LARGEST_OFFSET}")
    settings: Json = {"version": 1, "offset": offset, "offsets": OFFSETS, "tokens": TOKENS, "pairs": PAIRS}
    settings |= {"random": RANDOM, "text": TEXT, **DIRECT.settings()}
    found = catalogue.query_key.of_extraction(extraction_id, settings)
    layers = [
        layer for layer in range(info.n_layers) if any(HeadId(layer, h) not in found for h in range(info.n_heads))
    ]
    if layers:
        there = catalogue.saved_heads(extraction_id)
        for layer, of_layer in _layers(model, layers, offset, device, progress):
            heads = {HeadId(layer, head): record for head, record in enumerate(of_layer)}
            extracted = {head: record for head, record in heads.items() if head in there}
            catalogue.query_key.save(extraction_id, extracted, settings)
        found = catalogue.query_key.of_extraction(extraction_id, settings)
    return found


def query_key_in_words(found: dict[HeadId, QueryKeyRecord]) -> str:
    """How many heads connect pairs more strongly than random heads, and how far text agrees, in a line."""
    if not found:
        return ""
    above = sum(one.peak > one.random_peak for one in found.values())
    agreements = [one.agreement for one in found.values() if one.agreement is not None]
    beyond = sum(
        one.agreement is not None and one.agreement > max(0.0, one.random_agreement or 0.0) for one in found.values()
    )
    mean = sum(agreements) / len(agreements) if agreements else 0.0
    return (
        f"queries and keys of {above} of {len(found)} heads connect tokens more strongly than {RANDOM} random heads do;"
        f" with attention on text they agree by r {mean:.2f} on average, beyond random heads in {beyond}"
    )


@dataclass(frozen=True)
class _Text:
    """Attention on text of pairs up to `OFFSETS` apart: m queries with o keys each.

    Attributes:
        queries, keys: (m,) and (m, o), places among the tokens that count; ``there``: which pairs count, (m, o).
        attention: of each layer the logarithm of it, (H, m, o).
    """

    queries: Tensor
    keys: Tensor
    there: Tensor
    attention: list[Tensor]


def _layers(
    model: str, layers: list[int], offset: int, device: str, progress: Progress
) -> Iterator[tuple[int, list[QueryKeyRecord]]]:
    """Each of the layers with what is found of its heads, ascending."""
    import torch

    from describe.inference.query_key import open_query_key_reader
    from describe.pipeline.extraction.compute import Means
    from describe.pipeline.extraction.views import stream_sources
    from describe.weights import open_model
    from describe.weights.learnt import chosen_tokens

    where = choose_device(device, "float32")
    weights, means = open_model(model), Means(where, "float32")
    reader = open_query_key_reader(model, weights.info, where, torch.float32)
    ids = chosen_tokens(weights, "learnt", TOKENS).ids
    reader.read(0, torch.zeros(1, weights.info.d_model, device=where))  # before minutes of work: does the family tell?
    text = _text(reader, weights, ids, model)
    done = 0
    for layer, vectors in stream_sources(weights, DIRECT, ids, layers, means, progress=progress):
        if layer in layers:
            x = vectors[:].float()
            yield layer, _Layer(reader, layer, x, offset, text, weights.tokens, ids).heads()
            done += 1
            progress("queries and keys", done, len(layers))


def _text(reader: QueryKeyReader, weights: HeadWeights, ids: Tensor, model: str) -> _Text:
    """Attention on the held-out documents of our corpus."""
    import torch

    from describe.attention import FIRST_PLACE
    from describe.inference.attention import documents, read_sources
    from describe.inference.loading import longest_text

    length = min(256, longest_text(model))
    found = documents(read_sources(None), weights.start_ids, TEXT, length)[3::4]
    place = torch.full((weights.info.vocab_size,), -1)
    place[ids] = torch.arange(len(ids))
    attention: list[list[Tensor]] = [[] for _ in range(weights.info.n_layers)]
    queries, keys, there = [], [], []
    for document in found:
        tokens = torch.tensor(document.ids)
        at = torch.arange(FIRST_PLACE, len(tokens))
        back = at[:, None] - torch.arange(1, OFFSETS + 1)
        kept = back > 0  # not the first token, which draws attention whatever it is

        def see(layer: int, patterns: Tensor, _lengths: Tensor, at: Tensor = at, back: Tensor = back) -> None:
            seen = patterns[0, :, at[:, None], back.clamp(min=0)]
            attention[layer].append(seen.clamp(min=1e-9).log().cpu())

        reader.patterns.read(tokens[None], see)
        of_query, of_key = place[tokens[at]], place[tokens[back.clamp(min=0)]]
        queries.append(of_query.clamp(min=0))
        keys.append(of_key.clamp(min=0))
        there.append(kept & (of_query >= 0)[:, None] & (of_key >= 0))
    return _Text(torch.cat(queries), torch.cat(keys), torch.cat(there), [torch.cat(one, dim=1) for one in attention])


@dataclass(frozen=True)
class _Layer:
    """One layer: source vectors (n, d) of its tokens, and what is asked of them."""

    reader: QueryKeyReader
    layer: int
    vectors: Tensor
    offset: int
    text: _Text
    tokens: list[str]
    ids: Tensor

    def heads(self) -> list[QueryKeyRecord]:
        """The record of each head."""
        import torch

        from describe.maps.query_key import turned

        plain = self.reader.read(self.layer, self.vectors)
        places = max(OFFSETS, self.offset) + 1
        probe = self.reader.read(self.layer, self.vectors[: 4 * plain.query.shape[-1]], places)
        x = self.vectors - self.vectors.mean(0)
        turns = [_turns(probe, head) for head in range(plain.query.shape[2])]
        averaged = [plain.query[:, 0, head] @ turn[:, 1 : OFFSETS + 1].mean(1) for head, turn in enumerate(turns)]
        keys = [plain.key[:, 0, head] for head in range(len(turns))]
        width = plain.query.shape[-1]
        into = torch.split(
            turned(x, torch.cat([each - each.mean(0) for each in (*averaged, *keys)], dim=1)), width, dim=1
        )
        found = []
        for head, turn in enumerate(turns):
            of_head = (into[head], into[len(turns) + head])
            found.append(self._head(head, plain.query[:, 0, head], keys[head], turn, x, of_head))
        return found

    def _head(
        self, head: int, query: Tensor, key: Tensor, turn: Tensor, x: Tensor, into: tuple[Tensor, Tensor]
    ) -> QueryKeyRecord:
        import torch

        from describe.maps.query_key import TokenLogits, agreement, random_logits, strongest_pairs

        text, seen = self.text, self.text.attention[self.layer][head]
        own = TokenLogits.of(query @ turn[:, 1 : OFFSETS + 1].mean(1), key)
        seed = (self.layer * self.reader.info.n_heads + head) * RANDOM
        drawn = [random_logits(x, *into, seed + number) for number in range(RANDOM)]

        def agrees(logits: TokenLogits) -> float | None:
            static = logits.at(text.queries[:, None].expand_as(text.keys).to(x.device), text.keys.to(x.device))
            return agreement(static.cpu(), seen, text.there)

        centred = query - query.mean(0)
        at_offsets = torch.stack(
            [
                (
                    (centred[text.queries.to(x.device)] @ turn[:, o + 1])
                    * (key - key.mean(0))[text.keys[:, o].to(x.device)]
                ).sum(-1)
                for o in range(OFFSETS)
            ],
            dim=1,
        )
        strongest = strongest_pairs(own, PAIRS)
        of_random = [found for one in drawn if (found := agrees(one)) is not None]
        return QueryKeyRecord.of(
            offset=self.offset,
            pairs=self._pairs(strongest),
            at_offset=self._pairs(strongest_pairs(TokenLogits.of(query @ turn[:, self.offset], key), PAIRS)),
            peak=_rounded(_peak(own, strongest)),
            random_peak=_rounded(max(_peak(one, strongest_pairs(one, PAIRS)) for one in drawn)),
            agreement=_rounded(agrees(own)),
            random_agreement=_rounded(max(of_random, default=None)),
            agreement_at_offsets=_rounded(agreement(at_offsets.cpu(), seen, text.there)),
        )

    def _pairs(self, strongest: Pairs) -> list[Json]:
        named: Callable[[int], str] = lambda place: self.tokens[int(self.ids[place])]  # noqa: E731
        rows = zip(*(found.tolist() for found in strongest), strict=True)
        return [
            QueryKeyPair.of(query=named(query), key=named(key), logit=_rounded(logit)).to_json()
            for query, key, logit in rows
        ]


def _turns(probe: QueriesAndKeys, head: int) -> Tensor:
    """Maps of a head's queries at place 0 to those at each place, (r, T, r): the model's rotary positions."""
    from describe.maps.query_key import turned

    places, width = probe.query.shape[1], probe.query.shape[3]
    found = turned(probe.query[:, 0, head], probe.query[:, :, head].flatten(1))
    return found.view(width, places, width)


def _peak(logits: TokenLogits, strongest: Pairs) -> float:
    """The mean of the strongest pairs' logits, in standard deviations over all pairs."""
    return float(strongest[2].mean()) / max(logits.spread, 1e-12)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
