"""The README's commands work as pasted, one block after another.

In a folder with nothing but a catalogue of the demo model, so that what takes longest is there: what it says is
extracted is found to be so. That commands begin with nothing too is tested on small models.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_readme_works_as_pasted(demo_catalogue: Path, program: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs llama.cpp: pip install 'headscribe[gguf]'")
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    ours = [block for block in blocks if "headscribe " in block and "make " not in block]
    assert len(ours) >= 3
    pytest.importorskip("vl_convert", reason="needs Altair: pip install 'headscribe[plots]'")
    shutil.copy(demo_catalogue, tmp_path / "headscribe.db")
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    for block in ours:
        done = subprocess.run(
            ["bash", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
        )
        allowed = {0, 1} if "gguf:demo" in block else {0}  # a model this small may fail a head; that is said
        assert done.returncode in allowed, f"{block}\n{done.stdout}\n{done.stderr}"
