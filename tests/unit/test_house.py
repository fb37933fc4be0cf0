"""The rules of the house: imports run downward, importing is quick, exported names exist."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("describe", "annotations", "app")

# Each part -> the parts it may import, besides itself. What stands lower may not know what stands higher.
BASE = {
    "sizes",
    "errors",
    "figures",
    "secrets",
    "providers",
    "records",
    "readings",
    "mappings",
    "values",
    "kinds",
    "measures",
    "check_records",
    "attention",
    "known_heads",
    "score_levels",
    "statistics",
    "text",
    "terms",
    "files",
    "cached",
    "versions",
}
MAY_IMPORT = {
    "cached": set(),
    "process": set(),
    "errors": {"secrets"},
    "secrets": {"providers"},
    "providers": set(),
    "text": set(),
    "terms": {"text"},
    "versions": set(),
    "files": {"errors"},
    "values": {"text"},
    "figures": {"values"},
    "mappings": {"values"},
    "kinds": set(),
    "records": {"attention", "errors", "kinds", "mappings"},
    "readings": {"errors"},
    "measures": {"errors"},
    "check_records": set(),
    "known_heads": {"records"},
    "score_levels": set(),
    "attention": set(),
    "sizes": set(),
    "statistics": set(),
    "head_record": BASE,
    "export": BASE | {"head_record"},
    "weights": BASE,
    "maps": BASE | {"weights"},
    "catalog": BASE | {"head_record"},
    "llm": BASE | {"weights"},
    "labelling": BASE | {"llm"},
    "operations": BASE,
    "inference": BASE | {"weights", "maps", "operations"},
    "evidence": BASE | {"operations"},
    "notebook": BASE | {"pipeline", "catalog", "head_record", "operations", "weights"},
    "scoring": BASE | {"evidence", "llm", "labelling"},
    "pipeline": BASE
    | {
        "weights",
        "maps",
        "operations",
        "evidence",
        "head_record",
        "catalog",
        "export",
        "llm",
        "labelling",
        "inference",
        "scoring",
    },
}


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def part(name: str) -> str:
    """``describe.weights.model`` belongs to ``weights``."""
    return name.split(".")[1] if "." in name else ""


def test_imports_run_downward() -> None:
    for path in modules("describe"):
        own = part(".".join(path.relative_to(ROOT).with_suffix("").parts))
        names = imported(path)
        assert not any(name.split(".")[0] in ("app", "annotations") for name in names), path
        if own == "__init__":
            continue
        used = {part(name) for name in names if name.startswith("describe.")} - {own, ""}
        used &= set(MAY_IMPORT)
        assert used <= MAY_IMPORT[own], f"{path.relative_to(ROOT)} imports {sorted(used - MAY_IMPORT[own])}"


def test_no_two_files_import_each_other() -> None:
    """Nor in a longer circle, whether at the top of a file, within functions or for types."""
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in modules(*PACKAGES)}
    names = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    imports = {}
    for name, path in names.items():
        found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        each = [(node.module or "", alias.name) for node in found for alias in node.names]
        imports[name] = {f"{of}.{what}" if f"{of}.{what}" in names else of for of, what in each} - {name}
    while leaves := [name for name, found in imports.items() if not found & imports.keys()]:
        for name in leaves:
            del imports[name]
    assert not imports, sorted(imports)


def test_human_studies_know_no_face() -> None:
    for path in modules("annotations"):
        assert not any(name.split(".")[0] in ("app", "streamlit", "torch") for name in imported(path)), path


def test_the_catalogue_knows_no_torch_and_the_core_knows_no_face() -> None:
    for path in modules(
        "describe/catalog", "describe/head_record", "app", "annotations", "describe/llm", "describe/labelling"
    ):
        assert not any(name.split(".")[0] in ("torch", "transformers") for name in imported(path)), path


@pytest.mark.parametrize(
    "code",
    [
        "import describe",
        "import describe; describe.Catalogue, describe.heads_frame, describe.load_model",
        "import describe.pipeline, describe.catalog, describe.labelling, describe.llm",
        "import annotations.access, annotations.design, annotations.export, annotations.frame, annotations.rating",
        "import annotations.status, annotations.storage",
        "from app.main import main; main(['--help'])",
        "from app.main import main; main(['study', '--help'])",
        "from app.main import main; main(['describe', '--help'])",
        "from app.main import main; main(['models'])",
    ],
)
def test_no_torch_is_imported_where_none_is_needed(code: str) -> None:
    heavy = "{'torch', 'transformers', 'streamlit', 'openai', 'pandas', 'scipy', 'genai_prices'}"
    check = f"{code}\nimport sys\nfound = {heavy} & set(sys.modules)\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_exported_names_are_there() -> None:
    names = [
        module.name
        for package in ("describe", "annotations")
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
    ]
    for name in names:
        if "migrations" in name:
            continue
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", []):  # in order: ruff's RUF022
            assert hasattr(module, attribute), f"{name}.{attribute}"


def test_every_module_that_writes_csv_guards_its_cells() -> None:
    writers = ("to_csv(", "csv.writer(", "csv.DictWriter(")
    found = [path for path in modules("describe", "annotations", "app") if any(w in path.read_text() for w in writers)]
    assert found
    assert all("no_formula(" in path.read_text() for path in found)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PARAMETERS, LINES = 8, 70
MANY_PARAMETERS = (
    "describe/pipeline",  # one function a command: its parameters are the command's options
    "app",  # the commands themselves
    "annotations/log.py",  # the columns of an event
)


def functions(*packages: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in modules(*packages):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, FUNCTIONS):
                yield str(path.relative_to(ROOT)), node


def test_functions_stay_small() -> None:
    """How long a file is does not matter: it is one thought. A function is seen whole, and called without a table."""
    for path, node in functions(*PACKAGES):
        length = (node.end_lineno or 0) - node.lineno
        assert length <= LINES, f"{path}: {node.name} has {length} lines"
        taken = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
        taken -= bool(node.args.args) and node.args.args[0].arg in ("self", "cls")
        if not path.startswith(MANY_PARAMETERS):
            assert taken <= PARAMETERS, f"{path}: {node.name} has {taken} parameters"


def test_a_docstring_says_what_the_thing_is() -> None:
    """In the field's nouns; "What ..." and "The same ..." send the reader elsewhere."""
    for path in modules(*PACKAGES):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            begins = line.strip().removeprefix('"""')
            assert line.strip() == begins or not begins.startswith(("What ", "The same ")), f"{path}:{number}: {line}"


ANY = 755
"""How often package code says ``Any``: for what a file, a server or a database gave, before it is looked at."""


def test_untyped_values_do_not_grow() -> None:
    names = [
        node
        for path in modules(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert len(names) <= ANY, "name what travels: a typed record instead of Any"
