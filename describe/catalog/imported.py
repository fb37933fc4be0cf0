"""What a head from a file must be like to be taken in: the JSON form of one head, checked to the last key.

pydantic reads the forms below strictly: nothing is converted, no key may be missing or be one too many, and every
number is finite. What has no fixed form (settings, versions, usage) is any JSON object.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, InstanceOf, TypeAdapter, ValidationError, with_config
from typing_extensions import NotRequired, TypedDict

from describe.catalog.checks import ablation, removal_by_head
from describe.catalog.rows import iso, storable
from describe.catalog.stated_claims import add_claims
from describe.head_record import Shape
from describe.sizes import check_sizes
from describe.text import shortened

__all__ = ["check"]

MANY = 2**31 - 1
"""The largest whole number of a column."""

DEEPEST = 32
"""Levels of lists and objects in what has no fixed form; ours have five."""

LONGEST_LIST, LONGEST_TEXT = 10_000, 1 << 24
"""Elements of a list, and characters of a text."""

_typed_dict: Any = TypedDict


def check(record: Any) -> dict[str, Any]:
    """A head in the JSON form of one head, its moments as datetimes. Raises ValueError: what is wrong, and where."""
    try:
        head: dict[str, Any] = _HEADS.validate_python(record)
    except ValidationError as error:
        raise ValueError(_told(error)) from None
    shape, provenance = head["provenance"]["shape"], head["provenance"]
    check_sizes(shape)
    for name, limit in (("layer", "n_layers"), ("head", "n_heads")):
        if head[name] >= shape[limit]:
            raise ValueError(f"{name} {head[name]} is outside the model, which has {shape[limit]}")
    for token_id in _token_ids([*head["salient"], *head["held_out"]["next"], *head["held_out"]["sample"]]):
        if token_id >= shape["vocab_size"]:
            raise ValueError(f"token_id {token_id} is outside the vocabulary of {shape['vocab_size']} tokens")
    if "placebo" in provenance["extraction"]:
        raise ValueError("it is the head of a placebo, not of a model")
    if head["evidence"] and "evidence" not in provenance:
        raise ValueError("provenance.evidence is missing: the settings that the evidence was found with")
    _check_roles(head)
    for where, made in _labellers(head):
        if hashlib.sha256(made["template"].encode("utf-8", "surrogatepass")).hexdigest() != made["template_hash"]:
            raise ValueError(f"{where}.template_hash is not that of its template")
    _check_relations(head["relations"], provenance.get("relations"))
    for where, k in _ks(head):
        if k > shape["vocab_size"]:
            raise ValueError(f"{where} is {k}, and the vocabulary has {shape['vocab_size']} tokens")
    add_claims(head)
    return head


def _check_roles(head: dict[str, Any]) -> None:
    """Roles need to be told of in the provenance, and are of rows that are there."""
    if head["roles"] and "roles" not in head["provenance"]:
        raise ValueError("provenance.roles is missing: the settings that the roles were found with")
    numbers = [role["role"] for role in head["roles"]]
    if len(set(numbers)) < len(numbers):
        raise ValueError("two roles have the same number")
    rows = {"rows": len(head["salient"]), "held_out": len(head["held_out"]["next"])}
    for role in head["roles"]:
        for part, there in rows.items():
            if any(place >= there for place in role[part]):
                raise ValueError(f"role {role['role']}: {part} names a row that the head does not have")


def _check_relations(relations: dict[str, Any], made: dict[str, Any] | None) -> None:
    """Every operation must be told of in the provenance, and what was checked of it must be there in full."""
    for name, found in relations.items():
        for part, key in (("score", None), ("inference", "correlate"), ("ablation", "ablate")):
            runs = made if key is None else (made or {}).get(key)
            if part in found and name not in (runs or {}).get("operations", {}):
                missing = "provenance.relations" + (f".{key}" if key else "")
                raise ValueError(f"'{shortened(name)}' has a value in relations, but {missing} does not tell of it")
        if "inference" in found and made:
            templates = len(made["correlate"]["operations"][name]["found"]["templates"])
            for side in found["inference"].values():
                if not len(side["promoted"]) == len(side["suppressed"]) == templates:
                    raise ValueError(f"inference of '{shortened(name)}' does not have a count for each template")
    for name, about in (made or {}).get("ablate", {}).get("operations", {}).items():
        try:
            dict(removal_by_head(ablation(about["found"])))
        except Exception as error:  # whatever a made-up curve breaks
            raise ValueError(f"the ablation of '{shortened(name)}' in provenance is not complete") from error


def _labellers(head: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Where a prompt template is named, with what is said of it."""
    for i, description in enumerate(head["descriptions"]):
        yield f"descriptions[{i}].provenance", description["provenance"]
        for measure, judged in description["scores"].items():
            yield from ((f"descriptions[{i}].scores.{measure}", score["provenance"]) for score in judged.values())


def _ks(head: dict[str, Any]) -> Iterable[tuple[str, int]]:
    """Every number of tokens among which a target may be, and where it stands."""
    if head["inference"]:
        yield "inference.k", head["inference"]["k"]
    relations = head["provenance"].get("relations", {})
    for name, about in relations.get("operations", {}).items():
        yield f"k of '{shortened(name)}'", about["k"]
    for name, about in relations.get("correlate", {}).get("operations", {}).items():
        yield f"k of '{shortened(name)}' in prompts", about["found"]["k"]


def _token_ids(rows: Iterable[dict[str, Any]]) -> Iterable[int]:
    for row in rows:
        yield row["token_id"]
        for way in ("targets", "suppressed"):
            yield from (target["token_id"] for target in row[way])


def _told(error: ValidationError) -> str:
    """The first thing that is wrong, in a line: ``salient[3].targets[0].logit: Input should be a finite number``."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in first["loc"])
    what = (
        "it is not known here (from a newer headscribe?)"
        if first["type"] == "extra_forbidden"
        else first["msg"].removeprefix("Value error, ")
    )
    return f"{where.lstrip('.') or 'the head'}: {what}"


# -- the forms ------------------------------------------------------------------------------------------------------


def _form(name: str, optional: dict[str, Any] | None = None, /, **fields: Any) -> Any:
    """An object with exactly these keys, some of them optional."""
    keys = fields | {key: NotRequired[form] for key, form in (optional or {}).items()}
    return with_config(ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))(_typed_dict(name, keys))


def _at_most(most: int) -> AfterValidator:
    def checked(text: str | None) -> str | None:
        if text is not None and (length := len(storable(text))) > most:
            raise ValueError(f"it has {length} characters, {most} is the most")
        return text

    return AfterValidator(checked)


def _moment(text: str) -> datetime:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    if iso(moment) != text or not 2000 <= moment.year < 3000:
        raise ValueError("it is no moment as headscribe writes them")
    return moment


def _hash(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("it is no SHA-256: 64 of the digits 0-9 and a-f")
    return text


def _free(value: Any) -> Any:
    """JSON of no fixed form, whose depth and numbers every database and reader can take."""
    todo = [(value, 0)]
    while todo:
        part, depth = todo.pop()
        if depth > DEEPEST:
            raise ValueError(f"it is nested too deeply: {DEEPEST} levels are the most")
        if isinstance(part, dict | list):
            todo += [(inner, depth + 1) for inner in (part.values() if isinstance(part, dict) else part)]
        elif isinstance(part, int) and not -(2**63) <= part < 2**63:
            raise ValueError("a whole number in it has more than 64 bits")
    return value


class _Lists:
    """``_List[form]``: a list of a bounded number of elements of a form."""

    def __getitem__(self, form: Any) -> Any:
        return Annotated[list[form], Field(max_length=LONGEST_LIST)]


_List = _Lists()
_Dict: Any = dict
_Text: Any = Annotated[InstanceOf[str], Field(max_length=LONGEST_TEXT)]  # str itself refuses lone surrogates
_Told: Any = _Text | None
_Name, _Prompt, _Word = (Annotated[_Text, _at_most(most)] for most in (512, 256, 64))
_Cause: Any = Annotated[_Told, _at_most(32)]
_Hash, _MaybeHash = (Annotated[text, AfterValidator(_hash)] for text in (_Text, _Told))
_Object: Any = Annotated[_Dict[_Text, Any], AfterValidator(_free)]
_Count, _Size = (Annotated[int, Field(ge=least, le=MANY)] for least in (0, 1))
_Share = Annotated[float, Field(ge=0, le=1)]
_Moment: Any = Annotated[_Text, AfterValidator(_moment)]
_Made: dict[str, Any] = {"settings": _Object, "versions": _Object}

_Target = _form("target", token_id=_Count, token=_Text, logit=float)
_Row = _form("row", token_id=_Count, token=_Text, saliency=float, targets=_List[_Target], suppressed=_List[_Target])
_HeldOut = _form("held_out", next=_List[_Row], sample=_List[_Row])

_Labelled: dict[str, Any] = {"template_hash": _Hash, "template": _Text, **_Made}
_Judged = _form("judged", prompt=_Prompt, judge=_Object, scored=_Moment, **_Labelled)
_Figures = dict.fromkeys(("value", "low", "high", "placebo"), float | None)
_Score = _form("score", **_Figures, n=_Count, failure=_Cause, detail=_Told, found=_Object, provenance=_Judged)
_Described = _form("described", prompt_hash=_MaybeHash, reply=_Told, usage=_Object, described=_Moment, **_Labelled)
_Kind: Any = Literal["inputs", "outputs", "pairing"]
_Claim = _form("claim", name=_Text, kind=_Kind, wording=_Text, count=_Count, rows=_Size, expected=float)
_Description = _form(
    "description",
    {"claims": _List[_Claim]},
    llm=_Name,
    prompt=_Prompt,
    role=_Size | None,
    unclear=bool,
    failure=_Cause,
    **dict.fromkeys(("inputs", "pattern", "reasoning", "detail"), _Told),
    scores=_Dict[Literal["detection", "likelihood", "stability"], _Dict[_Name, _Score]],
    provenance=_Described,
)

_Evidence = _form(
    "evidence",
    {"random_expected": _Share | None, "random_p_value": _Share | None},
    name=_Text,
    kind=_Kind,
    wording=_Text,
    count=_Count,
    rows=_Size,
    **dict.fromkeys(("expected", "effect", "p_value", "q_value"), float),
    examples=_List[_Text],
)
_Role = _form(
    "role",
    role=_Size,
    sign=Literal["promotes", "suppresses"],
    rows=_List[_Count],
    held_out=_List[_Count],
    share=_Share,
    reach=float,
    p_value=_Share,
    evidence=_List[_Evidence],
)
_Template = _form("template", template=_Text, of_source=_Share, in_context=_Share)
_Inference = _form(
    "inference",
    k=_Size,
    pairs=_Count,
    of_source=_Share,
    in_context=_Share,
    templates=_List[_Template],
    settings=_Object,
)

_Dynamic = _form("dynamic", score=_Share, suppression=_Share, promoted=_List[_Count], suppressed=_List[_Count])
_Removal = _form("removal", removed_as=_Size, base=_Share, targeted=_Share, random=_Share | None)
_Relation = _form(
    "relation",
    {"inference": _form("in_prompts", in_context=_Dynamic, of_source=_Dynamic), "ablation": _Removal},
    score=_Share,
    suppression=_Share,
)
_Correlated = _form(
    "correlated", k=_Size, pairs=_Size, templates=Annotated[_List[_Text], Field(min_length=1)], seconds=float
)
_Ablated = _form(
    "ablated",
    prompts=_Count,
    heads=_List[_Text],
    numbers=_List[_Count],
    base=_Share,
    targeted=_List[_Share],
    random=_List[_List[_Share]],
    controls=_Dict[_Text, Annotated[_List[Any], AfterValidator(_free)]],
    seconds=float,
)
_About: dict[str, Any] = {"category": _Word, "content_hash": _Hash, "direction": _Text}


def _run(name: str, optional: dict[str, Any] | None = None, /, **of_operation: Any) -> Any:
    """What a run was made with, and what it says of each operation."""
    operations = _Dict[_Prompt, _form(f"{name} operation", **_About, **of_operation)]
    return _form(name, optional, **_Made, standard=bool, operations=operations)


_Relations = _run(
    "relations",
    {"correlate": _run("correlate", found=_Correlated), "ablate": _run("ablate", found=_Ablated)},
    k=_Size,
    pairs_used=_Count,
)
_Provenance = _form(
    "provenance",
    {"evidence": _Object, "relations": _Relations, "roles": _form("roles", evidence=_Object | None, **_Made)},
    content_hash=_Hash,
    family=_Word,
    shape=_form("shape", **dict.fromkeys(Shape.model_fields, _Size)),
    extraction=_Object,
    versions=_Object,
    extracted=_Moment,
)
_HEADS: TypeAdapter[Any] = TypeAdapter(
    _form(
        "head",
        model=_Name,
        layer=_Count,
        head=_Count,
        salient=_List[_Row],
        held_out=_HeldOut,
        descriptions=_List[_Description],
        roles=_List[_Role],
        relations=_Dict[_Prompt, _Relation],
        evidence=_List[_Evidence],
        inference=_Inference | None,
        provenance=_Provenance,
    )
)
