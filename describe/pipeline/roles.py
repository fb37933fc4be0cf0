"""``headscribe roles``: the roles of a model's heads, from its weights and the salient rows in the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.catalog.roles import Role, Sign
from describe.pipeline.common import N_TARGETS, Progress, choose_device, silent
from describe.pipeline.evidence import statistics_settings
from describe.pipeline.extraction.extract import extract
from describe.pipeline.extraction.random_heads import random_mappings
from describe.pipeline.role_rows import roles_settings, split_already, tested_roles
from describe.readings import PAPER, Reading
from describe.records import HeadId, HeadMapping, MappingRow, ModelInfo
from describe.versions import versions

if TYPE_CHECKING:
    import numpy as np
    import torch

    from describe.labelling import Template
    from describe.maps import OutputSpace, SourceVectors, Split
    from describe.pipeline.extraction.compute import Means
    from describe.weights import HeadWeights

__all__ = ["RolesResult", "by_role", "roles"]


@dataclass(frozen=True)
class RolesResult:
    """The roles of the heads asked for, and of how many heads they are new."""

    model: ModelInfo
    extraction_id: int
    heads: dict[HeadId, dict[HeadId, Role]]
    new: int


def roles(
    catalogue: Catalogue,
    model: str,
    *,
    heads: str = "all",
    reading: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> RolesResult:
    """Split the salient rows of heads into roles, and test the evidence of each role's rows; extracts first if needed.

    A head's roles are committed when they are settled; heads that have theirs are not split again. Raises `InputError`
    for a model or selection that cannot be read, and where the dictionaries of the evidence are not installed.
    """
    from describe.evidence import grammar_versions

    grammar_versions()
    extracted = extract(catalogue, model, heads=heads, reading=reading, device=device, dtype=dtype, progress=progress)
    extraction_id, settings = extracted.extraction_id, roles_settings()
    there = catalogue.roles.of_extraction(extraction_id, settings)
    missing = [head for head in extracted.heads if head not in there]
    if missing:
        _split_heads(catalogue, extraction_id, model, missing, device, dtype, progress)
    tested = statistics_settings(catalogue, extraction_id)
    there = catalogue.roles.of_extraction(extraction_id, settings, tested)
    untested = [head for head in extracted.heads if any(role.evidence is None for role in there[head].values())]
    if untested:
        _test_roles(catalogue, model, extraction_id, untested, tested, device)
        there = catalogue.roles.of_extraction(extraction_id, settings, tested)
    return RolesResult(extracted.model, extraction_id, {head: there[head] for head in extracted.heads}, len(missing))


def by_role(
    catalogue: Catalogue,
    model: str,
    template: Template,
    load: Callable[[HeadId], HeadMapping],
    heads: str,
    *,
    reading: str | None = None,
    device: str,
    dtype: str,
    progress: Progress,
) -> tuple[list[HeadId], Callable[[HeadId], HeadMapping]]:
    """Heads to describe role by role, and how to read it, as `split_already`; heads are split first where needed."""
    result = roles(catalogue, model, heads=heads, reading=reading, device=device, dtype=dtype, progress=progress)
    return split_already(catalogue, result.extraction_id, template, load, list(result.heads))


def _test_roles(
    catalogue: Catalogue, model: str, extraction_id: int, heads: list[HeadId], tested: dict[str, Any], device: str
) -> None:
    """Test the roles of all heads together, and commit what is significant of those of ``heads``."""
    from describe.evidence import significant

    found = catalogue.roles.of_extraction(extraction_id, roles_settings())
    random = random_mappings(catalogue, model, extraction_id, device=device)
    evidence = tested_roles(catalogue, model, extraction_id, found, random)
    for head in heads:
        for unit in found[head]:
            catalogue.roles.save_evidence(extraction_id, unit, tested, significant(evidence.get(unit, [])))


@dataclass(frozen=True)
class _Candidate:
    """A head whose rows fall into clusters, the first ``shown`` of them salient rows, held against random heads."""

    split: Split
    shown: int
    singular: torch.Tensor


def _split_heads(
    catalogue: Catalogue,
    extraction_id: int,
    model: str,
    heads: list[HeadId],
    device: str,
    dtype: str,
    progress: Progress,
) -> None:
    """Read the weights layer by layer, cluster, then hold what has clusters against random heads, draw by draw."""
    import torch

    from describe.maps import cluster_rows
    from describe.maps.roles import correlations, singular_values, written
    from describe.pipeline.extraction.compute import Means
    from describe.weights import open_model

    means = Means(choose_device(device, dtype), dtype, None)
    weights = open_model(model)
    made_by = versions("torch", "scipy") | {"device": means.device.type}
    rows: dict[HeadId, torch.Tensor] = {}
    done = 0
    progress("roles", 0, len(heads))

    def settle(head: HeadId, space: OutputSpace, labels: np.ndarray[Any, Any], p_value: float) -> None:
        nonlocal done
        mapping = catalogue.mapping(extraction_id, head, held_out=True)
        found = _roles(mapping, labels, rows.pop(head), space, p_value)
        catalogue.roles.save(extraction_id, head, found, roles_settings(), made_by)
        done += 1
        progress("roles", done, len(heads))

    reading = catalogue.reading(extraction_id)
    for layers, view in _views(model, weights, reading, dict.fromkeys(head.layer for head in heads), means, progress):
        space = view.space
        candidates: dict[HeadId, _Candidate] = {}
        for head in (head for head in heads if head.layer in layers):
            read = weights.layer(head.layer)
            mapping = catalogue.mapping(extraction_id, head, held_out=True)
            sources = [row.token_id for row in (*mapping.salient, *mapping.held_out)]
            rows[head] = written(view.of(torch.tensor(sources)), read, head.head)
            split = cluster_rows(correlations(rows[head], space), len(mapping.salient))
            if split.silhouette > 0:
                singular = singular_values(read, head.head, view.x.norms)
                candidates[head] = _Candidate(split, len(mapping.salient), singular)
            else:
                settle(head, space, split.labels, 1.0)
        _hold_against_random(view.x, space, candidates, settle)


@dataclass(frozen=True)
class _Sources:
    """Source vectors of the tokens ``ids`` (n,), ascending (None: of all), and the space that heads write to."""

    x: SourceVectors
    ids: torch.Tensor | None
    space: OutputSpace

    def of(self, tokens: torch.Tensor) -> torch.Tensor:
        """The source vectors of tokens by their ids, (m, d)."""
        import torch

        return self.x.of(tokens if self.ids is None else torch.searchsorted(self.ids.cpu(), tokens))


def _views(
    model: str, weights: HeadWeights, reading: Reading, layers: Iterable[int], means: Means, progress: Progress
) -> Iterator[tuple[set[int], _Sources]]:
    """Layers as a reading sees them: all of them alike by the paper's, one at a time by another."""
    from describe.maps import output_space

    plan = means.plan(weights, layers=1)
    if reading == PAPER:
        from describe.pipeline.extraction.compute import kept_sources, kept_unembed

        x, unembed = kept_sources(weights, means, plan), kept_unembed(weights, means, plan)
        yield set(layers), _Sources(x, None, output_space(unembed, N_TARGETS, means.device, plan.block))
        return
    from describe.pipeline.extraction.views import layer_views

    for layer, view in layer_views(model, weights, reading, list(layers), means, progress):
        space = output_space(view.unembed, N_TARGETS, means.device, plan.block)
        yield {layer}, _Sources(view.x, view.sources, space)


def _hold_against_random(
    x: SourceVectors,
    space: OutputSpace,
    candidates: dict[HeadId, _Candidate],
    settle: Callable[[HeadId, OutputSpace, np.ndarray[Any, Any], float], None],
) -> None:
    """Settle each head at the first random head whose clusters are as distinct, or after all draws.

    That is the sequential Monte Carlo test of Besag and Clifford (1991, Biometrika 78:301), whose p-value is exact.
    """
    from describe.maps import cluster_rows, random_head
    from describe.maps.roles import DRAWS

    standing = dict(candidates)
    for draw in range(DRAWS):
        if not standing:
            return
        random = random_head(x, space, len(next(iter(standing.values())).singular), draw)
        for head, found in list(standing.items()):
            other = cluster_rows(random.correlations(found.singular, len(found.split.labels)), found.shown)
            if other.silhouette >= found.split.silhouette:
                settle(head, space, 0 * found.split.labels, 1 / (1 + draw))
                del standing[head]
    for head, found in standing.items():
        settle(head, space, found.split.labels, 1 / (1 + DRAWS))


def _roles(
    mapping: HeadMapping, labels: np.ndarray[Any, Any], rows: torch.Tensor, space: OutputSpace, p_value: float
) -> list[Role]:
    """The roles of a head's clusters: each promotes, suppresses, or does both.

    A cluster's share is that of its rows' squared saliency; where it has both signs they share it as their squared
    reaches.
    """
    shown = len(mapping.salient)
    weight = [row.saliency**2 for row in mapping.salient]
    reaches = _reaches(mapping.salient, rows[:shown], space)
    found: list[Role] = []
    for label in range(labels.max(initial=0) + 1):
        inside = tuple(int(i) for i in (labels[:shown] == label).nonzero()[0])
        outside = tuple(int(i) for i in (labels[shown:] == label).nonzero()[0])
        share = sum(weight[i] for i in inside) / (sum(weight) or 1.0)
        far = {sign: float(each[list(inside)].mean()) for sign, each in reaches.items()}
        signs: list[Sign] = [sign for sign in far if far[sign] > space.reached] or ["promotes"]
        total = sum(far[sign] ** 2 for sign in signs) or 1.0
        found += [Role(sign, inside, outside, share * far[sign] ** 2 / total, far[sign], p_value) for sign in signs]
    return found


def _reaches(
    salient: tuple[MappingRow, ...], rows: torch.Tensor, space: OutputSpace
) -> dict[Sign, np.ndarray[Any, Any]]:
    """How far each salient row reaches up, and down, by the extreme logits that the catalogue keeps."""
    import torch

    from describe.maps.roles import reach

    up, down = (
        torch.tensor([[target.logit for target in getattr(row, way)[:N_TARGETS]] for row in salient]).to(rows)
        for way in ("targets", "suppressed")
    )
    return {"promotes": reach(rows, space, up), "suppresses": reach(-rows, space, -down)}
