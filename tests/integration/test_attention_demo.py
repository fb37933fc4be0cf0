"""Where the heads of `demo` look: those that are known carry their kinds, by the command as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL
from subprocess import CompletedProcess

import pandas as pd

from describe import pipeline
from describe.catalog import Catalogue
from tests import tiny
from tests.warm import Process

KNOWN = {"16.0": "previous-token", "11.1": "previous-token", "17.3": "induction", "8.0": "duplicate-token"}
SINK = "18.8"


def test_known_heads_carry_their_kinds(
    headscribe: Callable[..., CompletedProcess[str]], demo: str, tmp_path: Path
) -> None:
    done = headscribe("attend", demo, "--tokens", 512, "--csv", tmp_path / "found.csv")
    assert done.returncode == 0, done.stderr
    assert "where 270 heads look" in done.stdout
    found = pd.read_csv(tmp_path / "found.csv", dtype={"head": str}, keep_default_na=False).set_index("head")
    assert len(found) == 270
    for head, kind in (KNOWN | {SINK: "first-token sink"}).items():
        assert kind in found.loc[head, "kinds"].split(", "), head
    assert (found["text_first"].astype(float) > 0.5).sum() > 60
    known = KNOWN | {SINK: "first-token sink"}
    assert headscribe("extract", demo, "--reading", "paper", "--heads", ",".join(known), "--quiet").returncode == 0
    heads = json.loads(headscribe("show", demo, "--json").stdout)
    cards = {f"{one['layer']}.{one['head']}": (one["card"]["kind"], one["card"]["rests_on"]) for one in heads}
    assert cards == {head: (kind, "attention") for head, kind in known.items()}


def test_bad_input_is_one_line(
    headscribe: Callable[..., CompletedProcess[str]], tiny_llama: Path, tmp_path: Path
) -> None:
    (tmp_path / "short.txt").write_text("Too short.")
    for arguments, said in (
        (["--text", tmp_path / "short.txt"], "the text is too short"),
        (["--text", tmp_path / "nothing-here.txt"], "there is no"),
        (["--tokens", 10], "--tokens must be at least 256"),
        (["--dtype", "int8"], "cannot watch a model in 'int8'"),
    ):
        done = headscribe("attend", tiny_llama, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr
    assert not (tmp_path / "catalogue.db").exists()


KILLED = """
import os, signal, sys
from describe import pipeline
from describe.catalog import Catalogue

def kill(_stage, done, total):
    if 0 < done < total:
        os.kill(os.getpid(), signal.SIGKILL)

with Catalogue(sys.argv[2], create=True) as catalogue:
    pipeline.attend(catalogue, sys.argv[1], tokens=1024, device="cpu", progress=kill)
"""


def test_a_run_that_was_killed_goes_on_with_the_next_document(tmp_path: Path, start: Callable[..., Process]) -> None:
    """`kill -9` once the first documents are committed."""
    model = str(tiny.save(tiny.tiny_model("llama", max_position_embeddings=96), tmp_path / "tiny"))
    place = str(tmp_path / "c.db")
    assert start("-c", KILLED, model, place).wait(120) == -SIGKILL
    with Catalogue(place) as catalogue:
        there = len(catalogue.attention.documents(1))
        went_on = pipeline.attend(catalogue, model, tokens=1024, device="cpu")
        assert 0 < there < 22
        assert went_on.new == 22 - there
        assert catalogue.attention.documents(1) == {}
    with Catalogue(str(tmp_path / "other.db"), create=True) as catalogue:
        at_once = pipeline.attend(catalogue, model, tokens=1024, device="cpu")
    assert at_once.records == went_on.records
