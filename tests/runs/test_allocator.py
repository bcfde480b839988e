"""Freed memory is kept: after a few rounds of large blocks no pages are faulted in any more."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

BODY = """
import resource, sys
import torch
from whetstone.runs.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
torch.set_num_threads(1)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(16 << 20) for _ in range(3)]  # 64 MiB each
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(*(faults() for _ in range(8)))
"""


def measured(how: str) -> tuple[int, int]:
    """Page faults of the first and the last of eight rounds of 192 MiB, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", BODY, how], capture_output=True, text=True, check=True)
    rounds = [int(count) for count in done.stdout.split()]
    return rounds[0], rounds[-1]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_what_is_kept_is_not_faulted_in_again() -> None:
    first, last = measured("keep")
    assert last < first / 10
    first, last = measured("default")
    assert last > first / 2


def test_a_library_without_the_switch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from whetstone.runs import allocator

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False
