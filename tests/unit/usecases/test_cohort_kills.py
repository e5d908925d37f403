"""A planner is killed at random moments and started again: every case is done in the end, and no worker outlives it.

BRATS_MM_KILLS says how often (3 unless told).
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from brats_mm.io.cohort_manifest import open_manifest
from brats_mm.usecases.cohort import CohortSettings, run_cohort
from brats_mm.usecases.cohort_local import LocalEngine
from tests.cohort_fake import FakeCases

KILLS = int(os.environ.get("BRATS_MM_KILLS", "3"))
ROOT = Path(__file__).resolve().parents[3]
RUN = """
import sys
from pathlib import Path
from brats_mm.io.cohort_manifest import open_manifest
from brats_mm.usecases.cohort import CohortSettings, run_cohort
from brats_mm.usecases.cohort_local import LocalEngine
from tests.cohort_fake import FakeCases
engine = LocalEngine(FakeCases(pause_s=0.02), workers=2)
say = lambda status: print(status.done, *engine.pids, flush=True)
run_cohort(open_manifest(Path(sys.argv[1])), Path(sys.argv[2]), engine, CohortSettings("model-1"), say)
"""


def test_a_planner_that_is_killed_goes_on_and_leaves_no_worker_behind(tmp_path):
    chance = random.Random(1)
    (tmp_path / "t1.nii.gz").write_bytes(b"voxels")
    table = tmp_path / "cases.csv"
    names = [f"case-{number:03d}" for number in range(20 * KILLS)]
    table.write_text("case,t1\n" + "".join(f"{name},t1.nii.gz\n" for name in names))
    workers = set()
    for _ in range(KILLS):
        command = [sys.executable, "-c", RUN, str(table), str(tmp_path / "out")]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as planner:
            done = 0
            while not done:
                done, *pids = map(int, planner.stdout.readline().split())
            workers.update(pids)
            time.sleep(chance.uniform(0.0, 0.2))
            planner.kill()
    status = run_cohort(open_manifest(table), tmp_path / "out", LocalEngine(FakeCases()), CohortSettings("model-1"))
    assert status.done + status.skipped == len(names)
    assert status.skipped >= KILLS, "what was done before a kill is not done again"
    assert pq.read_table(tmp_path / "out" / "results.parquet")["case"].to_pylist() == names
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    print(f"{KILLS} kills, {len(names)} cases, all done, {status.skipped} of them before the last run")  # noqa: T201
