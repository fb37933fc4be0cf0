"""Texts that try to be something else than text, and a catalogue that is full of them: every page, export and command
that shows a catalogue must take them for what they are. A script among them that runs sets ``window.attacked``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from describe.catalog import Catalogue
from describe.catalog.roles import Role
from describe.records import Description, Evidence, HeadId, HeadMapping, LayerScores, MappingRow, ModelInfo, Target

__all__ = ["HTML", "HUGE", "LONG", "MODEL", "TEXTS", "attacked_catalogue", "texts_of"]

HTML = (
    "<script>window.attacked=1</script>",
    "</script></style></title></textarea><img src=x onerror=window.attacked=2>",
    "<img src=x onerror=window.attacked=3>",
    "\"'><svg onload=window.attacked=4>",
    "<!--<script>",
    "]]>-->",
    "<a href='javascript:window.attacked=5'>here</a>",
    "<style>*{display:none}</style>",
    "<iframe srcdoc='<script>parent.attacked=6</script>'></iframe>",
    "&lt;b&gt;&amp;#60;",
    "<bdi></p></td></table>",
)
MARKDOWN = (
    "**bold** _it_ `code` ~~gone~~",
    "[x](javascript:window.attacked=7)",
    "![x](http://example.org/x.png)",
    "# heading\n\n- list\n\n---",
    "| a | b |\n|---|---|\n| c | d |",
    "$\\frac{1}{2}$ $$x^2$$ :red[x] :smile: :material/home:",
    "```\n</code>\n```",
    "http://example.org/auto",
)
FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    '=HYPERLINK("http://example.org","x")',
    " =cmd|' /C x'!A0",
    "\ufeff\u200b=1+1",
    "\uff1d1+1",
)
HIDDEN = (
    "\u202egnp.exe\u202c",
    "a\u200bb\u2060c",
    "\u2066x\u2069",
    "\x00\x1b[31mred\x07",
    "\u2028\u2029",
    "\ufeff",
    "\x85\x9b",
    "\ud800 alone",
    "\U000e0041",
    "\xad\u034f",
    "\r\n\t\n",
    "   ",
    "",
)
TEMPLATES = ("{{ 7 * 7 }}", "{% raw %}", "%s %(x)s", "{0}", "${x}", "__proto__", "constructor", "\\u0041", "\\", "'\"`")
QUERIES = ('"', "' OR 1=1 --", "NEAR(", "a AND", "* ^x", "x:y", "(", "%", "_", ";DROP TABLE head")
LONG = "x" * 10_000
HUGE = "<b>huge</b> " * 87_382
"""More than a megabyte."""

TEXTS = (*HTML, *MARKDOWN, *FORMULAS, *HIDDEN, *TEMPLATES, *QUERIES, LONG)

MODEL = ModelInfo(HTML[1] + "\u202e=1+1", "cd" * 32, HTML[2], 2, 3, 3, 8, 4, 50)
"""A model whose very name is an attack."""


def attacked_catalogue(where: str | Path, *, huge: bool = True) -> Catalogue:
    """A catalogue of `MODEL`, all of whose texts are attacks; with ``huge``, those of head 1.2 have a megabyte each.

    Every head has all of `TEXTS` as sources, targets and suppressed targets; a description of each text by one of two
    describers, an abstention and a failure; evidence; two roles, described alike; a relation score for an operation
    named by an attack.
    """
    catalogue = Catalogue(str(where), create=True)
    model_id = catalogue.register_model(MODEL)
    extraction = catalogue.begin_extraction(model_id, {name: name for name in HTML[:2]}, {HTML[0]: HTML[1]})
    for head in MODEL.heads:
        texts = (HUGE,) if huge and head == MODEL.heads[-1] else texts_of(head)
        catalogue.save_head(extraction, _mapping(head, (*texts, *TEXTS)))
        catalogue.evidence.save(extraction, head, {"level": HTML[0]}, _evidence(texts))
        for labeller, outcome in zip(_labellers(catalogue), _outcomes(texts), strict=True):
            catalogue.save_description(extraction, head, labeller, outcome, {HTML[0]: HTML[1]})
        _split(catalogue, extraction, head, texts)
    _relations(catalogue, model_id)
    return catalogue


def texts_of(head: HeadId) -> tuple[str, ...]:
    """The texts that the descriptions of a head are made of: all heads together have all of `TEXTS`."""
    return TEXTS[MODEL.heads.index(head) :: len(MODEL.heads)]


def _mapping(head: HeadId, texts: tuple[str, ...]) -> HeadMapping:
    def targets(logit: float, first: int) -> tuple[Target, ...]:
        chosen = [texts[(first + step) % len(texts)] for step in range(5)]
        return tuple(Target(first + step, text, logit / (step + 1)) for step, text in enumerate(chosen))

    rows = (
        MappingRow(n, text, 2.0 - n / 100, targets(3.0, n + 1), targets(-3.0, n + 6)) for n, text in enumerate(texts)
    )
    return HeadMapping(head, tuple(rows))


def _split(catalogue: Catalogue, extraction: int, head: HeadId, texts: tuple[str, ...]) -> None:
    """Two roles of a head, each with evidence, descriptions, an abstention and a failure that are attacks too."""
    roles = [Role("promotes", (0, 2), (), 0.6, 6.0, 0.05), Role("suppresses", (1, 3), (), 0.4, 5.0, 0.05)]
    catalogue.roles.save(extraction, head, roles, {HTML[0]: HTML[1]}, {HTML[0]: HTML[1]})
    for number in (1, 2):
        role = head._replace(role=number)
        catalogue.roles.save_evidence(extraction, role, {"level": HTML[0]}, _evidence(texts))
        for labeller, outcome in zip(_labellers(catalogue), _outcomes(texts), strict=True):
            catalogue.save_description(extraction, role, labeller, outcome, {HTML[0]: HTML[1]})


def _evidence(texts: tuple[str, ...]) -> list[Evidence]:
    return [
        Evidence(text[:200], "inputs", text, 27, 30, 0.09, 1.9, 1e-20, 1e-17, (text, *texts[:2])) for text in texts[:3]
    ]


def _labellers(catalogue: Catalogue) -> Iterator[int]:
    for name in (HTML[2], MARKDOWN[5], FORMULAS[0], HIDDEN[0]):
        yield catalogue.register_labeller(name, name, name, {name: name})


def _outcomes(texts: tuple[str, ...]) -> list[Description]:
    whole = " ".join(texts)
    usage: dict[str, Any] = {"model": HTML[0]}
    return [
        Description(whole, whole, whole, reply=whole, usage=usage),
        Description(texts[0], texts[-1], texts[0], usage=usage),
        Description("Unclear", "Unclear", whole, unclear=True),
        Description(failure="refusal", detail=whole, reply=whole),
    ]


def _relations(catalogue: Catalogue, model_id: int) -> None:
    run = catalogue.relations.begin_run(model_id, {"threshold": HTML[0]}, True, {HTML[0]: HTML[1]})
    relations = [
        catalogue.relations.begin_relation(
            run,
            {
                "name": text,
                "content_hash": hashlib.sha256(text.encode()).hexdigest(),
                "category": HTML[0][:64],
                "direction": text,
                "pairs": [[text, text]],
            },
            10,
            40,
            True,
        )
        for text in (HTML[1], MARKDOWN[0], FORMULAS[0], "constructor")
    ]
    for layer in range(MODEL.n_layers):
        scores = LayerScores([0.5] * MODEL.n_heads, [0.25] * MODEL.n_heads, 1.0)
        catalogue.relations.save_layer(layer, dict.fromkeys(relations, scores))
