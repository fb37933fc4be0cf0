"""The paper's settings and tables: the rule for a row, the profile, published figures, LaTeX that parses."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pylatexenc.latexwalker import LatexWalker, LatexWalkerParseError

from app.paper.folder import write_folder
from describe.catalog import Catalogue
from describe.check_records import Ablation
from describe.errors import InputError
from describe.inference import ROW_RULES, choose_controls, removal_numbers, shown_numbers
from describe.llm import Request, parse_llm
from describe.operations import ALL, OURS, PAPER_PROFILE, load_operations, profile_named
from describe.operations.published import published, published_models, published_pairs
from describe.pipeline import ablation_rows
from describe.pipeline.operations.relations import score_settings
from describe.pipeline.paper.experiments import EXPERIMENTS, chosen_experiments, compared
from describe.pipeline.paper.records import Findings, Subject, Table
from describe.records import HeadId, ModelInfo

GPT2_XL = ModelInfo("gpt2-xl", "c" * 64, "gpt2", 48, 25, 25, 1600, 64, 50257)
LLAMA_8B = ModelInfo("llama", "c" * 64, "llama", 32, 32, 8, 4096, 128, 128256)
LLAMA_70B = replace(LLAMA_8B, n_layers=80, n_heads=64, d_model=8192)
GEMMA = ModelInfo("gemma", "c" * 64, "gemma3", 18, 4, 1, 640, 256, 262144)


@pytest.mark.parametrize(
    ("curve", "zero", "worst"),
    [
        ((0.6, 0.2, 0.0, 0.1, 0.0), 2, 2),
        ((0.6, 0.2, 0.1, 0.3), 3, 2),
        ((0.5, 0.5, 0.5), 2, 0),
        ((0.0,), 0, 0),
        ((0.9, 0.1), 1, 1),
    ],
)
def test_the_row_is_the_first_zero_else_the_last(curve: tuple[float, ...], zero: int, worst: int) -> None:
    assert ROW_RULES["zero"].place(curve) == zero
    assert ROW_RULES["worst"].place(curve) == worst
    numbers = tuple(range(1, len(curve) + 1))
    found = Ablation(40, ("0.0",) * len(curve), numbers, 0.8, curve, (curve,), {}, 1.0)
    rows = {rule: ablation_rows({"o": found}, rule)[0] for rule in ROW_RULES}
    assert (rows["zero"]["heads"], rows["worst"]["heads"]) == (zero + 1, worst + 1)
    assert rows["worst"]["targeted"] <= rows["zero"]["targeted"]


def test_curves_are_shown_where_rows_are_taken() -> None:
    curve = [0.8] * 40 + [0.1, 0.0, 0.3, 0.0] + [0.2] * 206
    places = shown_numbers(curve)
    assert {41, 249} <= set(places)
    assert len(places) <= 13
    some = [curve[i] for i in places]
    for rule in ROW_RULES.values():
        assert places[rule.place(some)] == rule.place(curve)
    assert shown_numbers([0.5, 0.4]) == [0, 1]


def test_the_profile_is_as_printed() -> None:
    assert [PAPER_PROFILE.k(GPT2_XL, copying) for copying in (False, True)] == [10, 1]
    assert [PAPER_PROFILE.k(LLAMA_8B, copying) for copying in (False, True)] == [25, 3]
    assert [PAPER_PROFILE.k(GEMMA), OURS.k(GEMMA)] == [10, 25]
    assert [PAPER_PROFILE.first_mlp(model) for model in (GPT2_XL, LLAMA_8B, LLAMA_70B)] == [True, True, False]
    assert (PAPER_PROFILE.seeds, PAPER_PROFILE.controls, PAPER_PROFILE.row) == (5, 5, "zero")
    assert PAPER_PROFILE.multi_template == "This is a document about <X>"
    with pytest.raises(InputError, match="there is: headscribe, paper"):
        profile_named("printed")


def test_a_profile_with_our_values_goes_on_with_our_run() -> None:
    assert score_settings(GPT2_XL, PAPER_PROFILE, None) == score_settings(GPT2_XL, OURS, None)
    assert score_settings(GEMMA, PAPER_PROFILE, None)["k"] == [10, 1]
    assert score_settings(GEMMA, OURS, None)["k"] is None
    assert score_settings(LLAMA_70B, PAPER_PROFILE, None) == {"k": None, "first_mlp": False}
    assert score_settings(GPT2_XL, PAPER_PROFILE, 5)["k"] == 5


def test_controls_may_be_drawn_and_accuracy_taken_after_each_head() -> None:
    heads = {name: [HeadId(i, 0), HeadId(i, 1)] for i, name in enumerate("abcdefgh")}
    base = dict.fromkeys(heads, 0.5) | {"h": 0.9}
    drawn = choose_controls("a", heads, base, 3, drawn=True)
    assert len(set(drawn)) == 3
    assert set(drawn) <= set("bcdefg")
    assert drawn == choose_controls("a", heads, base, 3, drawn=True)
    assert drawn != ["b", "c", "d"], "the first three would be no draw"
    assert len(choose_controls("a", heads, base, 9, drawn=True)) == 6
    assert removal_numbers(250, every=True) == tuple(range(1, 251))


def test_subject_forms_are_beside_the_twenty() -> None:
    ours, every = (dict.fromkeys(o.name for o in load_operations(place)[0]) for place in (None, ALL))
    assert len(ours) == 20
    assert set(every) - set(ours) == {"noun_to_subject_pronoun"}
    by_name = {operation.name: operation for operation in load_operations(ALL)[0]}
    objects, subjects = (dict(by_name[f"noun_to_{kind}pronoun"].pairs) for kind in ("", "subject_"))
    forms = {"him": "he", "her": "she", "it": "it", "them": "they"}
    assert subjects == {noun: forms[pronoun] for noun, pronoun in objects.items()}


def test_published_figures_stand_beside_ours() -> None:
    assert len(published_models()) == 6
    assert set(published_pairs()) == {operation.name for operation in load_operations()[0]}
    assert [model.name for model in map(published, (GPT2_XL, LLAMA_8B, LLAMA_70B)) if model] == [
        "GPT-2 xl",
        "Llama-3.1-8B",
        "Llama-3.1-70B",
    ]
    assert published(GEMMA) is None
    ours = [Findings("correlation", "", figures={"relation without context": 0.9, "relation with context": None})]
    table = compared(GPT2_XL, ours)
    assert table is not None
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["relation without context"] == (0.95, 0.9, pytest.approx(-0.05))
    assert rows["relation with context"] == (0.74, None, None)
    assert rows["capitals, heads removed"] == (38, None, None)
    assert compared(GEMMA, ours) is None


def test_experiments_are_named_and_go_in_their_order() -> None:
    assert chosen_experiments(None) == list(EXPERIMENTS)
    assert chosen_experiments("causal, static,") == ["static", "causal"]
    with pytest.raises(InputError, match="no experiment 'causes'"):
        chosen_experiments("causes")


def parsed(text: str) -> None:
    """Raises `LatexWalkerParseError` for what a TeX would not read."""
    LatexWalker(text, tolerant_parsing=False).get_latex_nodes()


def test_tables_of_hostile_words_are_latex_csv_and_html(tmp_path: Path) -> None:
    words = "=a_{b}&%$#~^\\ </td><script>alert(1)</script>"
    rows = ((words, 0.5, 0.0), ("plain", None, None), (words, 7, 0.02))
    table = Table("static", f"Of {words}", ("operation", words, "p with context"), rows)
    empty = Table("causal", "Nothing", ("operation", "heads removed"), ())
    found = [Findings("static", "Operations", (table, empty), missing={words: words})]
    model = replace(GPT2_XL, name=words)
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        subject = Subject(catalogue, "m", parse_llm("statistics"), Request())
        write_folder(tmp_path / "out", model, found, subject)
        written = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
        write_folder(tmp_path / "out", model, found, subject)
    assert written == {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    for name in ("static.tex", "causal.tex", "published.tex", "tables.tex"):
        parsed(written[name])
    with pytest.raises(LatexWalkerParseError):
        parsed(written["static.tex"].replace("\\end{tabular}", ""))
    body = written["static.tex"].split("\\midrule")[1].split("\\bottomrule")[0]
    assert [row.replace("\\&", "").count("&") for row in body.strip().splitlines()] == [2, 2, 2]
    assert "0.50 & $<$1e-300" in body, "a p-value too small for a double is no zero"
    assert written["static.csv"].splitlines()[1].startswith("\"'=a_") or "'=a_" in written["static.csv"]
    assert written["causal.csv"] == "operation,heads removed\n"
    assert "7,0.02\n" in written["static.csv"]
    page = written["report.html"]
    assert "<script>" not in page
    assert "published" in page
    assert "&lt;1e-300" in page
    assert written["tables.tex"].count("\\input{") == 3


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex: the others read LaTeX by a parser")
def test_tables_in_any_script_compile(tmp_path: Path) -> None:
    words = "首都 → Łódź, ŉ, Жук, ‘q’"
    table = Table("static", f"Of {words}", ("operation", words), ((words, 0.5), ("plain", None)))
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        subject = Subject(catalogue, "m", parse_llm("statistics"), Request())
        write_folder(tmp_path / "out", GEMMA, [Findings("static", "Operations", (table,))], subject)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    run = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, check=False)
    assert run.returncode == 0, run.stdout.decode(errors="replace")[-2000:]
