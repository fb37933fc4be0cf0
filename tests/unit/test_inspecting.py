"""``llms``, ``calls`` and ``sql``: who can be asked, what was asked about a head, and questions that change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.main import main
from describe.catalog import Catalogue
from describe.catalog.sql import VIEWS, ask
from describe.errors import InputError
from describe.inference.embedding import embed
from describe.labelling import load_template
from describe.operations import load_operations
from describe.records import Description, HeadId, HeadMapping, MappingRow, ModelInfo, Target
from describe.text import json_text, shown

INFO = ModelInfo("m", "ab" * 32, "llama", 1, 2, 2, 8, 4, 50)


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A catalogue with a head that one describer described and another did not, and a placebo."""
    where = str(tmp_path / "c.db")
    with Catalogue(where, create=True) as opened:
        model = opened.register_model(INFO)
        own = opened.begin_extraction(model, {"n": 1}, {})
        placebo = opened.begin_extraction(model, {"n": 2}, {}, placebo="spectrum")
        row = MappingRow(1, " Paris", 2.0, (Target(2, " France", 1.0),), ())
        for extraction in (own, placebo):
            opened.save_head(extraction, HeadMapping(HeadId(0, 1), (row,)))
        for llm, said in (("a", Description("cities", "their country")), ("b", Description(failure="empty"))):
            labeller = opened.register_labeller(llm, "p", "t", {})
            opened.save_description(own, HeadId(0, 1), labeller, said, {})
    return where


def test_views_hold_what_belongs_together(place: str) -> None:
    with Catalogue(place) as opened:
        assert ask(opened.engine, "select model, layer, head from heads").rows == [("m", 0, 1)]
        found = ask(opened.engine, "SELECT llm, pattern, failure FROM descriptions ORDER BY llm;")
        assert found.columns == ["llm", "pattern", "failure"]
        assert found.rows == [("a", "their country", None), ("b", None, "empty")]
        mine = "with mine as (select llm from descriptions where failure is null) select * from mine"
        assert ask(opened.engine, mine).rows == [("a",)]
        for view in VIEWS:
            assert ask(opened.engine, f"select count(*) from {view}").rows


@pytest.mark.parametrize(
    "question",
    [
        "delete from head",
        "with x as (select 1) delete from head",
        "with x as (select 1) insert into model(name) values ('x')",
        "select 1; drop table head",
        "pragma query_only = off",
        "attach database 'x' as y",
        "select from where",
        "",
    ],
)
def test_nothing_is_changed_and_what_is_no_question_is_one_line(question: str, place: str) -> None:
    with Catalogue(place) as opened:
        with pytest.raises(InputError):
            ask(opened.engine, question)
        assert ask(opened.engine, "select count(*) from head").rows == [(2,)]
    assert main(["sql", question, "--catalog", place]) == 2


def test_the_catalogue_can_be_written_after_a_question(place: str) -> None:
    with Catalogue(place) as opened:
        ask(opened.engine, "select 1")
        assert opened.register_labeller("c", "p", "t", {})


def test_rows_as_json(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "select llm, created from descriptions where llm = 'a'", "--catalog", place, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["llm"] == "a"


def test_llms_shows_no_key(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-very-secret-key")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:hidden-word@gateway.example/v1")
    assert main(["llms", "--json"]) == 0
    said = capsys.readouterr().out
    (openai,) = [one for one in json.loads(said)["llms"] if "openai:MODEL" in one["llm"]]
    assert openai["key_is_set"]
    assert "gateway.example" in openai["endpoint"]
    assert "secret" not in said
    assert "hidden-word" not in said


def test_calls_of_a_head_without_any(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "m", "0.1", "--catalog", place]) == 0
    assert "0 calls about 0.1 of m" in capsys.readouterr().err
    assert main(["calls", "m", "7.1", "--catalog", place]) == 2


def test_search_shows_whom_it_was_asked_for(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Catalogue(place) as opened:
        labeller = opened.register_labeller("newest", "p", "t", {})
        extraction = opened.latest_extraction(opened.find_model("m")[0])
        opened.save_description(extraction, HeadId(0, 1), labeller, Description("cities", "cities again"), {})
    assert main(["search", "cities", "--llm", "a", "--catalog", place, "--json"]) == 0
    (head,) = json.loads(capsys.readouterr().out)["heads"]
    assert (head["llm"], head["pattern"], head["tokens"]) == ("a", "their country", [])
    assert main(["search", "cities", "--llm", "newst", "--catalog", place]) == 2
    assert "do you mean 'newest'?" in capsys.readouterr().err


def test_a_group_without_a_command_shows_its_help_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["study"]):
        assert main(arguments) == 2
        assert len(capsys.readouterr().out.splitlines()) > 5


def test_json_takes_no_model_for_its_file(
    place: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", "--json", "m", "0.1", "--catalog", place]) == 0
    assert json.loads(capsys.readouterr().out)["head"] == 1
    assert not (tmp_path / "m").exists()
    assert main(["show", "m", "0.1", "--catalog", place, "--json", "found.json"]) == 0
    assert json.loads((tmp_path / "found.json").read_text())["head"] == 1


def test_a_number_that_is_none_is_null_in_json() -> None:
    assert json.loads(json_text({"a": [float("nan"), 1.5], "b": float("-inf")})) == {"a": [None, 1.5], "b": None}


def test_a_long_token_is_cut_in_prompts_and_its_length_said() -> None:
    assert shown("x" * 5000) == '"' + "x" * 200 + '…" (5,000 characters)'
    assert shown(' "a"') == '" \\"a\\""'
    row = MappingRow(1, "y" * 3000, 2.0, (Target(2, "z" * 3000, 1.0),), ())
    prompt = load_template("salient-1").render(HeadMapping(HeadId(0, 1), (row,)))
    assert "(3,000 characters)" in prompt
    assert "y" * 201 not in prompt


def test_files_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "capitals.json").write_text(json.dumps([["France", "Paris"]]), encoding="utf-8-sig")
    operations, problems = load_operations(folder)
    assert [operation.pairs for operation in operations] == [(("France", "Paris"),)]
    assert not problems
    (tmp_path / "own.jinja").write_text("{% for row in rows %}{{ row.source }}{% endfor %}", encoding="utf-8-sig")
    assert not load_template(str(tmp_path / "own.jinja")).text.startswith("\ufeff")


def test_output_in_another_encoding_ends_no_run(place: str) -> None:
    asked = "select 'caf\u00e9 \u2192 \U0001f600' said"
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "app.main", "sql", asked, "--catalog", place, *more],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        if more:
            assert json.loads(done.stdout) == [{"said": "caf\u00e9 \u2192 \U0001f600"}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_standard_output_that_is_full_is_a_line_and_one_that_is_closed_none(place: str) -> None:
    command = [sys.executable, "-m", "app.main", "sql", "select 1", "--catalog", place]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (2, "headscribe: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)  # as by a reader that has seen enough
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_sentences_without_a_token_have_vectors_too(tiny_llama: Path) -> None:
    found = embed(str(tiny_llama), [""] * 17 + [" the cat", "a"])
    assert found.shape == (19, 48)
    assert not found[:17].any()
    assert found[17:].any(axis=1).all()


WITHOUT_TORCH = """
import sys
from app.main import READING_MODELS, main
sys.modules.update(dict.fromkeys(READING_MODELS))  # as if they were not installed
*reading, needing = [line.split() for line in sys.stdin.read().splitlines()]
for arguments in reading:
    assert main(arguments) == 0, arguments
assert main(needing) == 2
"""


def test_a_catalogue_is_read_without_torch_and_who_needs_it_is_told_so(place: str, tmp_path: Path) -> None:
    commands = ("show m 0.1 --json", "search cities", f"export m -f html -o {tmp_path / 'm.html'}", "relations m")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input="\n".join(commands),
        env=os.environ | {"HEADSCRIBE_CATALOG": place},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "headscribe: this reads or runs a model, which takes torch, and that is not installed here" in done.stderr
    assert "Traceback" not in done.stderr
