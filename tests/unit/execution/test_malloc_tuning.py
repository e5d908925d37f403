"""Freed memory stays with the process during CPU training."""

import subprocess
import sys

import pytest

from brats_mm.execution.malloc_tuning import restore_malloc, tune_malloc

RESIDENT = """
import ctypes, sys, torch
from brats_mm.execution.malloc_tuning import restore_malloc, tune_malloc
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
def test_freed_block_stays_resident_only_while_tuned():
    """Runs in separate processes with untouched memory."""
    assert run("given back") == "False False False"
    if (kept := run("kept")) == "False False False":
        pytest.skip("the C library is not glibc")
    assert kept == "True True False"


def test_other_devices_are_unchanged():
    assert not tune_malloc("meta")
    assert not restore_malloc("meta")


FAULTS = """
import resource, sys, torch
from brats_mm.execution.malloc_tuning import tune_malloc_for_inference
tuned = sys.argv[1] == "tuned" and tune_malloc_for_inference("cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.ones(2**24)  # 64 MiB
print(tuned, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of Linux")
def test_inference_keeps_its_pages():
    """64 MiB are 16,384 small pages. Four blocks request them each time without tuning, and at most once with it."""
    counts = {}
    for way in ("tuned", "plain"):
        script = subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True)
        tuned, faults = script.stdout.split()
        if (way, tuned) == ("tuned", "False"):
            pytest.skip("the C library is not glibc")
        counts[way] = int(faults)
    assert counts["tuned"] < 20_000
    assert counts["plain"] > 60_000
