"""Both readings of a model in one catalogue: extracted, gone on with, shown, split into roles, beside random heads."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.main import main
from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.llm import Request, parse_llm
from describe.pipeline.extraction.placebos import AskedPlacebos, make_placebos
from describe.pipeline.extraction.random_heads import random_mappings
from describe.readings import DIRECT, PAPER
from describe.records import HeadId
from tests.fake_llm import Action, FakeLLM, completion
from tests.tiny import save, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tiny_model("llama", tie_word_embeddings=False), tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def place(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of the model's heads by both readings."""
    where = tmp_path_factory.mktemp("catalogue") / "c.db"
    assert main(["extract", model, "--reading", "paper", "--catalog", str(where), "-q"]) == 0
    assert main(["extract", model, "--reading", "direct", "--catalog", str(where), "-q"]) == 0
    return where


def test_both_readings_are_kept_and_each_is_shown(model: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Catalogue(str(place)) as catalogue:
        papers, directs = (pipeline.head_record(catalogue, model, HeadId(1, 2), name) for name in ("paper", "direct"))
        assert (papers.reading, directs.reading) == (PAPER, DIRECT)
        assert (papers.distinct, papers.constant, papers.provenance.tokens) == ((), None, None)
        assert len(directs.distinct) == len(directs.salient) == 30
        assert directs.constant is not None
        assert 0 <= directs.constant.share <= 1
        counted = directs.provenance.tokens
        assert counted is not None
        assert counted.count + sum(one.count for one in counted.left_out) == directs.provenance.shape.vocab_size
        row = directs.salient[0]
        assert (len(row.targets), len(row.suppressed)) == (10, 5)
        assert all(target.z is not None for target in row.targets)
        assert [len(row.targets) for row in directs.held_out.next[:2]] == [5, 5]
        distinctness = [row.distinctness or 0.0 for row in directs.distinct]
        assert distinctness == sorted(distinctness, reverse=True)
        assert len(catalogue.browse.models()) == 2
    capsys.readouterr()
    assert main(["show", model, "1.2", "--reading", "direct", "--catalog", str(place)]) == 0
    told = capsys.readouterr().out
    for words in ("read by direct: the stream at a token", "by distinctness", "whatever it reads", "█"):
        assert words in told
    assert main(["show", model, "1.2", "--reading", "paper", "--catalog", str(place)]) == 0
    assert "by distinctness" not in capsys.readouterr().out
    assert main(["show", model, "1.2", "--reading", "dirct", "--catalog", str(place)]) == 2
    assert "there is no reading 'dirct': paper or direct" in capsys.readouterr().err


def test_what_was_cut_short_goes_on_with_the_same_tokens(model: str, tmp_path: Path) -> None:
    def killed(stage: str, done: int, total: int) -> None:
        if stage == "extract" and done == 5:
            raise KeyboardInterrupt

    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        with pytest.raises(KeyboardInterrupt):
            pipeline.extract(catalogue, model, reading="direct", tokens="120", progress=killed)
        again = pipeline.extract(catalogue, model, reading="direct")
        assert (again.new, len(again.heads)) == (7, 12), "the same extraction, by its tokens"
        whole = {head: catalogue.mapping(again.extraction_id, head, held_out=True) for head in again.heads}
    with Catalogue(str(tmp_path / "other.db"), create=True) as other:
        at_once = pipeline.extract(other, model, reading="direct", tokens="120")
        assert whole == {head: other.mapping(at_once.extraction_id, head, held_out=True) for head in at_once.heads}
        counted = other.counted_tokens(at_once.extraction_id)
        assert counted is not None
        assert counted.count == 120
        assert "120 tokens count" in counted.text


def test_tokens_of_a_file_are_known_by_its_content(model: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog, and the dog THE 0123456789 sleeps: over there!\n" * 3)
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        first = pipeline.extract(catalogue, model, reading="direct", tokens=str(text), heads="0")
        assert catalogue.reading(first.extraction_id).tokens.startswith("text.txt, SHA-256 ")
        moved = text.rename(tmp_path / "moved.txt").rename(text)
        assert pipeline.extract(catalogue, model, reading="direct", tokens=str(moved), heads="0").new == 0
        with pytest.raises(InputError, match=r"read by the tokens of text.txt, SHA-256 .*: name that file"):
            pipeline.extract(catalogue, model, reading="direct", heads="1")
        with pytest.raises(InputError, match=r"--tokens: .* cannot be read"):
            pipeline.extract(catalogue, model, reading="direct", tokens=str(tmp_path / "nowhere.txt"))
        with pytest.raises(InputError, match="--tokens 0 leaves no token"):
            pipeline.extract(catalogue, model, reading="direct", tokens="0")


def test_heads_that_do_nothing_are_read_as_own_ones_are(model: str, place: Path) -> None:
    with Catalogue(str(place)) as catalogue:
        _, own = pipeline.find(catalogue, model, "direct")
        asked = AskedPlacebos.of(2, catalogue.saved_heads(own), ())
        made = make_placebos(catalogue, model, own, asked, "cpu", "float32", lambda *_: None)
        for _, extraction_id, heads in made:
            assert catalogue.reading(extraction_id) == DIRECT
            for head in heads:
                mapping, real = catalogue.mapping(extraction_id, head), catalogue.mapping(own, head)
                assert len(mapping.distinct) == len(real.distinct) == 30
                assert mapping.distinct != real.distinct
                assert mapping.constant is not None
        drawn = random_mappings(catalogue, model, own)
        again = random_mappings(catalogue, model, own)
        assert [head.distinct[0].token_id for head in drawn] == [head.distinct[0].token_id for head in again]
        assert all(len(mapping.distinct) == 30 and len(mapping.salient) == 30 for mapping in drawn)
        assert len({mapping.salient[0].saliency for mapping in drawn}) == len(drawn)


def test_roles_and_operations_by_the_direct_reading(
    model: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Catalogue(str(place)) as catalogue:
        found = pipeline.roles(catalogue, model, heads="0.0,1.1", reading="direct")
        assert catalogue.reading(found.extraction_id) == DIRECT
        assert set(found.heads) == {HeadId(0, 0), HeadId(1, 1)}
    assert main(["relations", model, "--reading", "direct", "--no-first-mlp", "--catalog", str(place)]) == 2
    assert "goes with neither --engine ray nor --no-first-mlp" in capsys.readouterr().err


def test_exports_are_of_the_reading_asked_for(model: str, place: Path, tmp_path: Path) -> None:
    with Catalogue(str(place)) as catalogue:
        for name in ("paper", "direct"):
            pipeline.export(catalogue, [model], "jsonl", tmp_path / f"{name}.jsonl", reading=name)
            for form in ("markdown", "html", "csv"):
                pipeline.export(catalogue, [model], form, tmp_path / f"{name}.{form}", reading=name)
    assert "distinctness" in (tmp_path / "direct.markdown").read_text()
    assert "distinctness" not in (tmp_path / "paper.markdown").read_text()
    assert '"constant"' not in (tmp_path / "paper.jsonl").read_text()
    with Catalogue(str(tmp_path / "again.db"), create=True) as again:
        for name in ("paper", "direct"):
            assert pipeline.import_heads(again, tmp_path / f"{name}.jsonl").new == 12
            pipeline.export(again, [], "jsonl", tmp_path / "again.jsonl", reading=name)
            assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes()
        with Catalogue(str(place)) as catalogue:
            assert pipeline.diff(catalogue, again, reading="direct").models[0].counts == {}


def test_random_heads_drawn_in_the_same_go_are_those_drawn_afterwards(model: str, place: Path, tmp_path: Path) -> None:
    with Catalogue(str(place)) as catalogue:
        _, own = pipeline.find(catalogue, model, "direct")
        afterwards = random_mappings(catalogue, model, own, keep=False)
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        found = pipeline.extract(catalogue, model, random=True)

        def no_more(stage: str, done: int, total: int) -> None:
            raise AssertionError("they are there")

        assert random_mappings(catalogue, model, found.extraction_id, progress=no_more) == afterwards


def test_where_no_reading_is_named_a_new_model_is_read_directly_and_a_known_one_as_it_was(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "c.db")
    assert main(["extract", model, "--reading", "paper", "--heads", "0-1", "--catalog", place, "-q"]) == 0
    assert main(["extract", model, "--heads", "0", "--catalog", place]) == 0
    assert "read by paper, as the catalogue has this model: --reading direct" in capsys.readouterr().out
    with Catalogue(place) as catalogue:
        asked: dict[str, Any] = {"request": Request(), "device": "cpu"}
        said = pipeline.describe(catalogue, model, parse_llm("statistics"), heads="1-2", **asked)
        assert catalogue.reading(said.extraction_id) == PAPER, "gone on with"
        direct = pipeline.extract(catalogue, model, heads="0", reading="direct")
        assert pipeline.find(catalogue, model)[1] == direct.extraction_id
        assert pipeline.roles(catalogue, model, heads="0.1").extraction_id == direct.extraction_id
    with Catalogue(str(tmp_path / "new.db"), create=True) as new:
        assert new.reading(pipeline.extract(new, model, heads="0").extraction_id) == DIRECT


def test_killed_between_two_heads_it_goes_on_and_no_row_is_half_there(model: str, place: Path, tmp_path: Path) -> None:
    """kill -9 when 6 heads are committed: the first layer and half of the second."""
    killed = (
        "import os, signal, sys\n"
        "from describe import pipeline\n"
        "from describe.catalog import Catalogue\n"
        "def progress(stage, done, total):\n"
        "    if (stage, done) == ('extract', 6): os.kill(os.getpid(), signal.SIGKILL)\n"
        "with Catalogue(sys.argv[2], create=True) as catalogue:\n"
        "    pipeline.extract(catalogue, sys.argv[1], device='cpu', progress=progress)\n"
    )
    where = tmp_path / "c.db"
    done = subprocess.run([sys.executable, "-c", killed, model, where], capture_output=True, text=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr
    layers: list[int] = []

    def watch(stage: str, done: int, total: int) -> None:
        if stage == "extract":
            layers.append(done)

    with Catalogue(str(where)) as catalogue, Catalogue(str(place)) as whole:
        _, own = pipeline.find(catalogue, model, "direct")
        saved = catalogue.saved_heads(own, complete=True)
        assert len(saved) == len(catalogue.saved_heads(own)) == 6
        again = pipeline.extract(catalogue, model, device="cpu", progress=watch)
        assert (again.extraction_id, again.new, layers) == (own, 6, [0, 1, 2, 3, 4, 5, 6])
        _, other = pipeline.find(whole, model, "direct")
        for head in again.heads:
            same = whole.mapping(other, head, held_out=True)
            assert catalogue.mapping(own, head, held_out=True) == same, f"{head} as without the kill"


def test_an_llm_is_asked_about_random_heads_too_unless_it_is_not_to_be(
    model: str, place: Path, tmp_path: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    where = shutil.copy(place, tmp_path / "c.db")
    llm, asked = parse_llm("openai:fake-1"), {"request": Request()}
    abstains = iter(range(100))
    unclear = json.dumps({"reasoning": "", "kind": "nothing", "groups": [], "inputs": "Unclear", "pattern": "Unclear"})
    fake_llm.misbehave = lambda call: Action(body=completion(unclear)) if next(abstains) % 4 == 0 else None
    with Catalogue(str(where)) as catalogue:
        planned = pipeline.plan(catalogue, model, llm, **asked, placebos=None)
        assert (len(planned.heads), planned.placebos, planned.calls) == (12, 8, 20)
        result = pipeline.describe(catalogue, model, llm, **asked, placebos=None, concurrency=1, device="cpu")
        assert ({kind: len(found) for kind, found in result.placebos.items()}, len(fake_llm.calls)) == (
            {"random": 8},
            20,
        )
        assert result.summary == "described: 9 of 12 own heads, 6 of 8 random ones"
        assert pipeline.plan(catalogue, model, llm, **asked, placebos=None).calls == 0
        some = pipeline.describe(catalogue, model, llm, **asked, heads="1", placebos=None, device="cpu")
        assert (len(fake_llm.calls), some.summary[:27]) == (
            20 + len(set(some.placebos["random"]) - set(result.placebos["random"])),
            "described: 3 of 4 own heads",
        )
        assert catalogue.ledger.summary(1)[0]["calls"] == len(fake_llm.calls)
    assert AskedPlacebos.of(None, [HeadId(0, n) for n in range(270)], ()).kinds == ("random",)
    assert len(AskedPlacebos.of(None, [HeadId(0, n) for n in range(270)], ()).heads) == 30
    assert AskedPlacebos.of(0, [HeadId(0, 0)], ()) == AskedPlacebos()
    monkeypatch.setenv("HEADSCRIBE_CATALOG", str(where))
    assert main(["describe", model, "--llm", "openai:fake-1", "--dry-run", "--heads", "0", "--placebos", "0"]) == 0
