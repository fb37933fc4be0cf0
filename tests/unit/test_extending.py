"""The recipes of docs/extending.md, run: each block of code as it stands there, in the place that the page names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from describe import pipeline
from describe.export import FORMATS, Format
from describe.labelling import load_template
from describe.llm import identity, parse_llm
from describe.operations.load import load_operations
from describe.providers import PROVIDERS, Provider
from describe.secrets import redacted
from describe.weights import families, open_model
from describe.weights.family import Family
from tests import oracle, tiny
from tests.families import CASES, family_model
from tests.whole_catalogue import MODEL, whole_catalogue

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()


def blocks(title: str) -> dict[str, str]:
    """The blocks of code below a title of the page, by their language."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))


def test_places_that_the_page_names_are_there() -> None:
    for place in re.findall(r"`((?:describe|tests|prompts)/[\w/.]+)`", PAGE):
        assert (ROOT / place).exists(), place


def test_a_family_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row: Family = eval(blocks("A family of models")["python"], {"Family": Family})
    others = [known for known in families.FAMILIES if known.name != row.name]
    assert len(others) == len(families.FAMILIES) - 1
    assert row.model_types[0] in [model_type for model_type, _ in CASES]
    directory = tiny.save(model := family_model(row.model_types[0]), tmp_path / "model")
    monkeypatch.setattr(families, "FAMILIES", others)
    with pytest.raises(Exception, match="does not know"):
        open_model(str(directory))
    monkeypatch.setattr(families, "FAMILIES", [*others, row])
    layer = open_model(str(directory)).layer(1)
    group = layer.output.shape[0] // layer.value.shape[0]
    torch.testing.assert_close(
        torch.stack([layer.value[head // group] @ layer.output[head] for head in range(len(layer.output))]).double(),
        oracle.all_w_vo(model, 1),
        rtol=1e-4,
        atol=1e-5,
    )


def test_an_operation_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "young.json").write_text(blocks("An operation")["json"])
    (operation,), problems = load_operations(tmp_path)
    assert problems == []
    assert (operation.name, operation.category) == ("young", "knowledge")
    assert operation.pairs == (("cat", "kitten"), ("dog", "puppy"))


def test_a_prompt_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(blocks("A prompt")["jinja"])
    assert load_template(str(tmp_path / "mine.jinja")).uses == {"rows"}


def test_a_provider_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row: Provider = eval(blocks("An LLM")["python"], {"Provider": Provider})
    monkeypatch.setitem(PROVIDERS, row.name, row)
    assert row.key is not None
    assert row.address is not None
    monkeypatch.setenv(row.key, "sk-key-of-the-gateway-0123456789")
    monkeypatch.setenv(row.address, "http://user:word-of-pass@127.0.0.1:9/v1")
    llm = parse_llm("gateway:small")
    assert llm.kind.paid
    assert identity(llm) == {"endpoint": "http://127.0.0.1:9/v1"}
    assert "0123456789" not in redacted("said sk-key-of-the-gateway-0123456789")


def test_an_export_format_is_one_module_and_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("describe.export.lines")
    exec(blocks("An export format")["python"], module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "lines", Format("lines"))
    with whole_catalogue(tmp_path / "a.db") as catalogue:
        n = pipeline.export(catalogue, [MODEL.name], "lines", tmp_path / "a.lines")
    lines = (tmp_path / "a.lines").read_text().splitlines()
    assert n == len(lines) == len(MODEL.heads)
    assert all(line.startswith(f"{MODEL.name} {head}: ") for line, head in zip(lines, MODEL.heads, strict=True))


def test_every_helper_of_the_tests_is_on_the_map() -> None:
    listed = re.findall(r"`(\w+\.py)`", (ROOT / "CONTRIBUTING.md").read_text().split("**Helpers of the tests**")[1])
    there = {path.name for path in (ROOT / "tests").glob("*.py")} - {"__init__.py"}
    assert there <= set(listed), "a line in CONTRIBUTING.md says what it is for"
    assert set(listed) - {"test_extending.py"} <= there
