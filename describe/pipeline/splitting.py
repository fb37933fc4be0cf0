"""``headscribe roles``: the roles of a model's heads, from its weights and the salient rows in the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from describe.catalog import Catalogue
from describe.catalog.roles import Role
from describe.pipeline.common import Progress, choose_device, silent
from describe.pipeline.extracting import N_TARGETS, extract
from describe.pipeline.stating import statistics_settings
from describe.records import Evidence, HeadId, HeadMapping, MappingRow, ModelInfo
from describe.versions import versions

if TYPE_CHECKING:
    import numpy as np
    import torch

    from describe.labelling import Template
    from describe.maps import OutputSpace, SourceVectors, Split

__all__ = ["RolesResult", "by_role", "evidence_of_roles", "of_role", "role_units", "roles", "roles_settings"]

Sign = Literal["promotes", "suppresses"]


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
    extracted = extract(catalogue, model, heads=heads, device=device, dtype=dtype, progress=progress)
    extraction_id, settings = extracted.extraction_id, roles_settings()
    there = catalogue.roles.of_extraction(extraction_id, settings)
    missing = [head for head in extracted.heads if head not in there]
    if missing:
        _split_heads(catalogue, extraction_id, model, missing, device, dtype, progress)
    tested = statistics_settings(catalogue, extraction_id)
    there = catalogue.roles.of_extraction(extraction_id, settings, tested)
    untested = [head for head in extracted.heads if any(role.evidence is None for role in there[head].values())]
    if untested:
        _test_roles(catalogue, model, extraction_id, untested, tested)
        there = catalogue.roles.of_extraction(extraction_id, settings, tested)
    return RolesResult(extracted.model, extraction_id, {head: there[head] for head in extracted.heads}, len(missing))


def roles_settings() -> dict[str, Any]:
    """What roles depend on besides the extraction."""
    from describe.maps.roles import SETTINGS

    return dict(SETTINGS)


def role_units(found: dict[HeadId, dict[HeadId, Role]], heads: Iterable[HeadId], signs: Iterable[Sign]) -> list[HeadId]:
    """What to describe of each head where its roles are: each role that evidence supports and that has such a sign.

    A head with one role, or none that evidence supports, is described as a whole, if one of its roles has the sign.
    """
    units: list[HeadId] = []
    for head in heads:
        wanted = [unit for unit, role in found[head].items() if role.sign in signs]
        supported = [unit for unit in wanted if found[head][unit].evidence]
        several = len(found[head]) > 1 and any(role.evidence for role in found[head].values())
        units += supported if several else [head] if wanted else []
    return units


def of_role(mapping: HeadMapping, unit: HeadId, role: Role) -> HeadMapping:
    """A head's mapping with the rows of one role alone, and the evidence of these."""
    held_out = tuple(mapping.held_out[i] for i in role.held_out) if mapping.held_out else ()
    salient = tuple(mapping.salient[i] for i in role.rows)
    return HeadMapping(unit, salient, role.evidence or (), held_out, mapping.sampled)


def by_role(
    catalogue: Catalogue,
    model: str,
    template: Template,
    load: Callable[[HeadId], HeadMapping],
    heads: str,
    *,
    device: str,
    dtype: str,
    progress: Progress,
) -> tuple[list[HeadId], Callable[[HeadId], HeadMapping]]:
    """What to describe role by role, and how to read it; heads are split first where they are not.

    A prompt that shows what heads promote is for roles that promote, one that shows what they suppress for the others.
    """
    result = roles(catalogue, model, heads=heads, device=device, dtype=dtype, progress=progress)

    def load_role(unit: HeadId) -> HeadMapping:
        mapping = load(unit)
        return of_role(mapping, unit, result.heads[unit._replace(role=0)][unit]) if unit.role else mapping

    return role_units(result.heads, result.heads, _signs(template)), load_role


def evidence_of_roles(
    catalogue: Catalogue, model: str, extraction_id: int
) -> tuple[dict[HeadId, list[Evidence]], set[HeadId]]:
    """Everything tested on the rows of each role, and which roles suppress."""
    found = catalogue.roles.of_extraction(extraction_id, roles_settings())
    suppress = {unit for of_head in found.values() for unit, role in of_head.items() if role.sign == "suppresses"}
    return _role_evidence(catalogue, model, extraction_id, found), suppress


def _signs(template: Template) -> list[Sign]:
    """What a prompt can be asked about; the statistics, which have none, put either into words."""
    if template.name == "evidence-1":
        return ["promotes", "suppresses"]
    shows: dict[str, Sign] = {"rows": "promotes", "suppressed": "suppresses"}
    return [sign for field, sign in shows.items() if field in template.uses]


def _role_evidence(
    catalogue: Catalogue, model: str, extraction_id: int, found: dict[HeadId, dict[HeadId, Role]]
) -> dict[HeadId, list[Evidence]]:
    """Everything tested on the rows of each role, by role.

    Roles that promote are tested by what their rows promote, beside the other roles of all heads; roles that suppress
    likewise by what is suppressed. A head that is not split yet stands beside them as a whole.
    """
    from describe.evidence import Vocabulary, model_evidence
    from describe.weights import open_model

    vocabulary = Vocabulary(open_model(model).tokens)
    saved = sorted(catalogue.saved_heads(extraction_id))
    whole = {head: catalogue.mapping(extraction_id, head) for head in saved}
    evidence: dict[HeadId, list[Evidence]] = {}
    for sign in ("promotes", "suppresses"):
        tables = [_facing(part, sign) for head in saved for part in _clusters(whole[head], found.get(head, {}), sign)]
        evidence |= {unit: tested for unit, tested in model_evidence(vocabulary, tables).items() if unit.role}
    return evidence


def _clusters(whole: HeadMapping, found: dict[HeadId, Role], sign: str) -> list[HeadMapping]:
    """A head's rows in their clusters: those of a role with this sign under its name, the others under the head's."""
    if not found:
        return [whole]
    by_rows: dict[tuple[int, ...], HeadMapping] = {}
    for unit, role in found.items():
        if role.sign == sign or role.rows not in by_rows:
            by_rows[role.rows] = of_role(whole, unit if role.sign == sign else whole.id, role)
    return list(by_rows.values())


def _facing(mapping: HeadMapping, sign: str) -> HeadMapping:
    """The mapping with what its rows suppress in the place of the targets, where that is what is looked at."""
    if sign == "promotes":
        return mapping
    return replace(mapping, salient=tuple(replace(row, targets=row.suppressed) for row in mapping.salient))


def _test_roles(
    catalogue: Catalogue, model: str, extraction_id: int, heads: list[HeadId], tested: dict[str, Any]
) -> None:
    """Test the roles of all heads together, and commit what is significant of those of ``heads``."""
    from describe.evidence import significant

    found = catalogue.roles.of_extraction(extraction_id, roles_settings())
    evidence = _role_evidence(catalogue, model, extraction_id, found)
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

    from describe.maps import cluster_rows, output_space, source_vectors
    from describe.maps.roles import correlations, singular_values, written
    from describe.weights import open_model

    where = choose_device(device, dtype)
    weights = open_model(model)
    x = source_vectors(weights.embed, weights.first_mlp, where, getattr(torch, dtype))
    space = output_space(weights.unembed.to(where, getattr(torch, dtype)), N_TARGETS)
    made_by = versions("torch", "scipy") | {"device": where.type}
    rows: dict[HeadId, torch.Tensor] = {}
    candidates: dict[HeadId, _Candidate] = {}
    done = 0
    progress("roles", 0, len(heads))

    def settle(head: HeadId, labels: np.ndarray[Any, Any], p_value: float) -> None:
        nonlocal done
        mapping = catalogue.mapping(extraction_id, head, held_out=True)
        found = _roles(mapping, labels, rows.pop(head), space, p_value)
        catalogue.roles.save(extraction_id, head, found, roles_settings(), made_by)
        done += 1
        progress("roles", done, len(heads))

    for layer in dict.fromkeys(head.layer for head in heads):
        read = weights.layer(layer)
        for head in (head for head in heads if head.layer == layer):
            mapping = catalogue.mapping(extraction_id, head, held_out=True)
            sources = [row.token_id for row in (*mapping.salient, *mapping.held_out)]
            rows[head] = written(x.vectors[sources], read, head.head)
            split = cluster_rows(correlations(rows[head], space), len(mapping.salient))
            if split.silhouette > 0:
                candidates[head] = _Candidate(split, len(mapping.salient), singular_values(read, head.head, x.vectors))
            else:
                settle(head, split.labels, 1.0)
    _hold_against_random(x, space, candidates, settle)


def _hold_against_random(
    x: SourceVectors,
    space: OutputSpace,
    candidates: dict[HeadId, _Candidate],
    settle: Callable[[HeadId, np.ndarray[Any, Any], float], None],
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
                settle(head, 0 * found.split.labels, 1 / (1 + draw))
                del standing[head]
    for head, found in standing.items():
        settle(head, found.split.labels, 1 / (1 + DRAWS))


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
        torch.tensor([[target.logit for target in getattr(row, way)] for row in salient]).to(rows)
        for way in ("targets", "suppressed")
    )
    return {"promotes": reach(rows, space, up), "suppresses": reach(-rows, space, -down)}
