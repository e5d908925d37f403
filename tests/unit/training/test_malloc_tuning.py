"""Freed memory stays with the process in CPU training."""

import subprocess
import sys

import pytest

from brats_mm.training.malloc_tuning import restore_malloc, tune_malloc

RESIDENT = """
import ctypes, sys, torch
from brats_mm.training.malloc_tuning import restore_malloc, tune_malloc
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
kept = sys.argv[1] == "kept" and tune_malloc("cpu")
def left():
    before = resident()
    block = torch.ones(2**24)  # 64 MiB
    del block
    return resident() - before > 2**25
first = left()
print(kept, first, kept and restore_malloc("cpu") and left())
"""


def run(way: str) -> str:
    done = subprocess.run([sys.executable, "-c", RESIDENT, way], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_freed_block_stays_resident_only_from_the_request_to_its_end():
    """In processes of their own, which nothing else has moved."""
    assert run("given back") == "False False False"
    if (kept := run("kept")) == "False False False":
        pytest.skip("the C library is not glibc")
    assert kept == "True True False"


def test_other_devices_are_left_alone():
    assert not tune_malloc("meta")
    assert not restore_malloc("meta")
