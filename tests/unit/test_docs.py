"""The documentation is complete, and what it shows works."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import typer

from app.attending import attention_tables
from app.commands import app
from app.main import READING_MODELS
from app.models import family_tables
from app.reference import all_commands
from benchmarks.reading_tables import tables
from describe.head_record.schema import key_tables
from tests.conftest import need

ROOT = Path(__file__).parents[2]


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    sections = dict(re.findall(r"^## headscribe ([^\n]+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    commands = all_commands()
    assert set(sections) == set(commands), "run: python -m app.reference > docs/commands.md"
    for name, command in commands.items():
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]:
                assert option in sections[name], f"{option} of {name} is not in docs/commands.md"


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    group: Any = typer.main.get_command(app)
    for name in group.commands:
        assert f"headscribe {name}" in readme, name


def test_to_browse_all_packages_are_listed_but_those_that_models_take() -> None:
    core = (ROOT / "pyproject.toml").read_text().partition("\ndependencies = [\n")[2].partition("\n]")[0]
    declared = re.findall(r'"([^"]+)"', core)
    listed = (ROOT / "requirements-browse.txt").read_text().splitlines()
    browsing = [line for line in declared if re.split(r"[\[><=~]", line)[0] not in READING_MODELS]
    assert [line for line in listed if not line.startswith("#")] == browsing
    assert len(declared) - len(browsing) == len(READING_MODELS)


def test_the_families_are_documented() -> None:
    page = (ROOT / "docs" / "families.md").read_text()
    assert page.endswith(family_tables()), "the end of docs/families.md is printed by: python -m app.models"


def test_figures_and_kinds_of_attention_are_documented() -> None:
    page = (ROOT / "docs" / "attention.md").read_text()
    assert page.endswith(attention_tables()), "the end of docs/attention.md is printed by: python -m app.attending"


def test_the_measured_readings_are_documented() -> None:
    page, figures = ((ROOT / "docs" / name).read_text() for name in ("readings.md", "readings.json"))
    assert page.rstrip().endswith(tables(json.loads(figures))), "printed by: python -m benchmarks.readings --tables"


def test_the_table_of_blind_readings_counts_the_replies() -> None:
    page, replies = ((ROOT / "docs" / name).read_text() for name in ("readings.md", "read_blind.json"))
    asked, described = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for reply in json.loads(replies):
        asked[key := (reply["heads"], reply["reading"])] += 1
        described[key] += reply["described"]
        assert reply["described"] == (reply["pattern"] != "Unclear")
    for key, n in asked.items():
        assert f"| {key[0]} | `{key[1]}` | {described[key]} | {n} |" in page


def test_every_key_of_a_head_is_documented() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    assert page.endswith(key_tables()), "printed by: python -m describe.head_record.schema"


def test_links_and_pictures_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_in_the_site() -> None:
    listed = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md")), "a page is not in mkdocs.yml"


def test_the_site_is_built_without_a_complaint(tmp_path: Path) -> None:
    """Broken links and anchors, and pages that are nowhere, are complaints; nothing is loaded from elsewhere."""
    need(importlib.util.find_spec("material") is not None, "mkdocs-material: pip install 'headscribe[docs]'")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    for page in tmp_path.glob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)", page.read_text())
        assert loaded == [], page.name


def test_nothing_names_the_place_it_was_made() -> None:
    for pattern in ("**/*.py", "**/*.md", "**/*.jinja", "Makefile", ".ci/run"):
        for path in ROOT.glob(pattern):
            if not {".venv", "demo"} & set(path.relative_to(ROOT).parts):
                assert "/" + "work/" not in path.read_text(), path
