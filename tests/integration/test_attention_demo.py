"""Where the heads of `demo` look: those that are known carry their kinds, by the command as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

KNOWN = {"16.0": "previous-token", "11.1": "previous-token", "17.3": "induction", "8.0": "duplicate-token"}
SINK = "18.8"


def test_known_heads_carry_their_kinds(
    headscribe: Callable[..., CompletedProcess[str]], demo: str, tmp_path: Path
) -> None:
    done = headscribe("attend", demo, "--tokens", 512, "--json", tmp_path / "found.json", "--quiet")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    kinds = {f"{head['layer']}.{head['head']}": head["kinds"] for head in found["heads"]}
    assert len(kinds) == 270
    for head, kind in (KNOWN | {SINK: "first-token sink"}).items():
        assert kind in kinds[head], head
    assert sum(head["figures"]["text"]["first"]["mean"] > 0.5 for head in found["heads"]) > 60
    again = headscribe("attend", demo, "--tokens", 512)
    assert again.returncode == 0, again.stderr
    assert "where 270 heads look" in again.stdout


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
