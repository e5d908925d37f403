"""Killed at random moments and restarted, a cohort finishes every case, and no worker outlives it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from brats_mm.cohort.manifest import open_manifest
from brats_mm.cohort.run import CohortSettings, run_cohort
from brats_mm.execution.local_engine import LocalEngine
from tests.fakes.cohort import FakeCases

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("BRATS_MM_KILLS", "3"))
ROOT = Path(__file__).resolve().parents[3]
RUN = """
import sys
from pathlib import Path
from brats_mm.cohort.manifest import open_manifest
from brats_mm.cohort.run import CohortSettings, run_cohort
from brats_mm.execution.local_engine import LocalEngine
from tests.fakes.cohort import FakeCases
engine = LocalEngine(FakeCases(pause_s=0.02, hold_from=sys.argv[3]), workers=2)
say = lambda status: print(status.done, *engine.pids, flush=True)
run_cohort(open_manifest(Path(sys.argv[1])), Path(sys.argv[2]), engine, CohortSettings("model-1"), say)
"""

COMMAND = """
import signal, sys
import brats_mm.cohort.model as model
from brats_mm.cli.main import main
from tests.fakes.cohort import FakeCases
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup
model.SegmentCases = lambda *_: FakeCases(hold_from="case-10")
sys.exit(main(["cohort", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_interrupted_cohort_exits_with_code_of_signal_and_resumes(tmp_path, name, code):
    (tmp_path / "t1.nii.gz").write_bytes(b"voxels")
    table = tmp_path / "cases.csv"
    table.write_text("case,t1\n" + "".join(f"case-{number:02d},t1.nii.gz\n" for number in range(30)))
    command = [sys.executable, "-c", COMMAND, str(table), "-o", str(tmp_path / "out"), "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as run:
        assert run.stdout.readline().startswith("30 cases in ")
        assert run.stdout.readline().startswith("1 of 30")
        os.killpg(run.pid, getattr(signal, name))  # like a terminal, also to the workers
        _, message = run.communicate(timeout=600)
    assert run.returncode == code
    assert message == "error: Interrupted. Finished cases are kept. Run the same command to continue.\n"
    done = pq.read_table(tmp_path / "out" / "results.parquet").num_rows
    assert 1 <= done <= 10
    (tmp_path / "out" / "go").touch()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{30 - done} cases segmented, {done} unchanged, 0 failed." in again.stdout


def test_killed_cohort_resumes_and_leaves_no_worker(tmp_path):
    chance = random.Random(1)
    (tmp_path / "t1.nii.gz").write_bytes(b"voxels")
    table = tmp_path / "cases.csv"
    names = [f"case-{number:03d}" for number in range(20 * KILLS)]
    table.write_text("case,t1\n" + "".join(f"{name},t1.nii.gz\n" for name in names))
    workers = set()
    for number in range(KILLS):
        hold_from = names[20 * number + 19]  # some cases remain however late the kill comes
        command = [sys.executable, "-c", RUN, str(table), str(tmp_path / "out"), hold_from]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as planner:
            try:
                done = 0
                while not done:
                    done, *pids = map(int, planner.stdout.readline().split())
                workers.update(pids)
                time.sleep(chance.uniform(0.0, 0.2))
            finally:
                planner.kill()
    status = run_cohort(open_manifest(table), tmp_path / "out", LocalEngine(FakeCases()), CohortSettings("model-1"))
    assert status.done + status.skipped == len(names)
    assert status.skipped >= KILLS, "what was done before a kill is not done again"
    assert pq.read_table(tmp_path / "out" / "results.parquet")["case"].to_pylist() == names
    end = time.monotonic() + 300
    while left := [pid for pid in workers if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
    print(f"{KILLS} kills, {len(names)} cases, all done, {status.skipped} of them before the last run")  # noqa: T201
