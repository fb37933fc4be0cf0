"""A process as the command line sets it up."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from describe.process import prepare_process
{prepare}
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block = lambda: torch.ones(3, 1 << 22).mul(2).add(1)
for _ in range(5):
    block()
before = faults()
for _ in range(20):
    block()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_of_freed_blocks_is_at_hand_for_the_next() -> None:
    def counted(prepare: str) -> int:
        code = FAULTS.format(prepare=prepare)
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)

    left, prepared = counted(""), counted("prepare_process()")
    assert prepared < left / 10
