"""Keys and passwords of a whole run, from the weights to the exports: nothing that it writes or says holds one."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.fake_llm import Action, Call, FakeLLM, completion

Run = Callable[..., subprocess.CompletedProcess[str]]

KEY, USER, PASSWORD, OF_DATABASE = "sk-canary/key+0123456789", "alice", "canary&Pass word77", "canaryOfTheDatabase"

FORMATS = ("jsonl", "csv", "markdown", "html", "parquet", "dataset")


def forms(secret: str) -> Iterator[str]:
    """A secret as it is, and as servers and tools write it."""
    yield from (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], secret.encode().hex())
    yield b64encode(secret.encode()).decode()


def echo(secrets: tuple[str, ...]) -> Callable[[Call], Action]:
    """A server that says all that came in the headers, and the secrets in other forms, in whatever it can say."""
    others = " ".join(form for secret in secrets for form in forms(secret))

    def say(call: Call) -> Action:
        sent = " ".join(f"{name}: {value}" for name, value in call.headers.items())
        sent = " ".join([sent, others, b64encode(sent.encode()).decode()])
        if call.number % 5 == 0:
            return Action(500, {"error": {"message": f"not well: {sent}", "code": sent}})
        if call.number % 5 == 1:
            return Action(400, {"detail": [f"no such thing {sent}"]}, headers={"x-request-id": secrets[0]})
        if call.number % 5 == 2:
            return Action(200, f"<p>{sent}</p>".encode())
        said = {
            "reasoning": sent,
            "kind": "class",
            "groups": [],
            "inputs": f"inputs {others}"[:590],
            "pattern": " ".join(secrets),
        }
        body = completion(json.dumps(said)) | {"model": sent, "id": sent}
        return Action(200, body, headers={"x-request-id": sent[:200]})

    return say


def whole_run(headscribe: Run, model: Path, catalogue: str, out: Path, environment: dict[str, str]) -> list[str]:
    """What every command says, of a run that writes into the folder ``out``."""
    told = []

    def run(*arguments: object, codes: tuple[int, ...] = (0,)) -> None:
        done = headscribe(*arguments, HEADSCRIBE_CATALOG=catalogue, **environment)
        assert done.returncode in codes, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        told.extend([done.stdout, done.stderr])

    asked = ("--llm", "openai:fake-1", "--attempts", "1", "--give-up-after", "50")
    run("extract", model, "--no-figures")
    run("describe", model, *asked, "--dry-run")
    run("describe", model, *asked, codes=(0, 1))
    run("describe", model, "--report", "--json")
    judged = ("--judge", "openai:fake-1", "--attempts", "1", "--give-up-after", "50")
    run("score", model, *judged, "--dry-run")
    run("score", model, *judged, codes=(0, 1))
    run("score", model, "--report", codes=(0, 1))
    run("show", model)
    run("show", model, "0.0", "--json")
    run("search", "inputs")
    for form in FORMATS:
        run("export", model, "-f", form, "-o", out / f"heads.{form}")
    run("import", out / "heads.jsonl", "--catalog", out / "again.db")
    run("diff", catalogue, out / "again.db")
    run("show", "no such model", codes=(2,))
    return told


def held(secrets: tuple[str, ...], texts: list[str]) -> list[tuple[str, str]]:
    """Each secret that a text holds in some form, with what stands around it."""
    canaries = dict.fromkeys(form for secret in secrets for form in forms(secret))
    places = [(canary, one, one.find(canary)) for one in texts for canary in canaries]
    return [(canary, one[max(0, at - 60) : at + 80]) for canary, one, at in places if at >= 0]


def files(folder: Path) -> list[str]:
    """All that stands in files below a folder."""
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("user", ["", f"{USER}:{quote(PASSWORD)}@"], ids=["a key", "a user and a password"])
def test_nothing_that_a_run_writes_holds_a_secret(
    user: str, tmp_path: Path, tiny_llama: Path, headscribe: Run, fake_llm: FakeLLM
) -> None:
    secrets = (KEY, PASSWORD, f"{USER}:{PASSWORD}") if user else (KEY,)
    fake_llm.misbehave = echo(secrets)
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": fake_llm.url.replace("://", f"://{user}")}
    told = whole_run(headscribe, tiny_llama, str(tmp_path / "c.db"), tmp_path, environment)
    assert len(fake_llm.calls) > 12
    written = files(tmp_path)
    assert not held(secrets, [*told, *written])
    assert any("***" in one for one in written), "the server's words are kept, without what is secret in them"


def test_what_an_older_catalogue_kept_is_not_handed_on(
    tmp_path: Path, tiny_llama: Path, headscribe: Run, fake_llm: FakeLLM
) -> None:
    place, environment = tmp_path / "catalogue.db", fake_llm.environment | {"OPENAI_API_KEY": KEY}
    assert (
        headscribe(
            "describe", tiny_llama, "--llm", "openai:fake-1", "--heads", "0", "--placebos", "0", **environment
        ).returncode
        == 0
    )
    with closing(sqlite3.connect(place)) as older:
        older.execute(
            "UPDATE description SET pattern = 'says ' || ?, reply = ?, usage = ?",
            (KEY, KEY, json.dumps({"model": KEY})),
        )
        older.execute("UPDATE call SET reply = ?, request_id = ?", (KEY, KEY))
        older.commit()
    for form in FORMATS:
        done = headscribe("export", tiny_llama, "-f", form, "-o", tmp_path / f"heads.{form}", **environment)
        assert done.returncode == 0, done.stderr
    for shown in (
        ("show", tiny_llama, "0.0", "--json", tmp_path / "head.json"),
        ("describe", tiny_llama, "--report", "--json", tmp_path / "calls.json"),
    ):
        assert headscribe(*shown, **environment).returncode == 0
    written = files(tmp_path / "heads.dataset") + [
        path.read_bytes().decode("latin-1")
        for path in tmp_path.glob("*.*")
        if path.is_file() and not path.name.startswith("catalogue")
    ]
    assert len(written) > len(FORMATS)
    assert not held((KEY,), written)


def test_nor_does_a_catalogue_behind_a_password(
    tmp_path: Path, tiny_llama: Path, headscribe: Run, fake_llm: FakeLLM, postgres_of_its_own: str
) -> None:
    secrets = (KEY, OF_DATABASE)
    fake_llm.misbehave = echo(secrets)
    url = postgres_of_its_own.replace("://test@", f"://test:{OF_DATABASE}@")
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": fake_llm.url}
    told = whole_run(headscribe, tiny_llama, url, tmp_path, environment)
    engine = create_engine(postgres_of_its_own)
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        rows = [str(connection.execute(text(f'SELECT * FROM "{table}"')).all()) for table in tables]
    engine.dispose()
    assert "description" in tables
    assert not held(secrets, [*told, *rows, *files(tmp_path)])
