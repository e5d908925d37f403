"""Fake cohort workers without a model. The name of a case determines its result. Importable by worker processes."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from brats_mm.cohort.records import CaseState, TaskResult
from brats_mm.errors import BundleError


@dataclass(frozen=True)
class FakeCases:
    """Makes runners that log each case as a line in `runs` of the output folder.

    Names with `bad` fail, with `deadly` they kill their worker each time, with `once` the first time. Each case takes
    `pause_s`. Cases from the name `hold_from` on wait until the output folder has a file `go`.
    """

    pause_s: float = 0.0
    hold_from: str | None = None
    unable: bool = False
    dies: bool = False

    def __call__(self, slot):
        if self.unable:
            raise BundleError("The bundle has no weights. Reinstall brats-mm.")
        if self.dies:
            os._exit(3)
        return FakeRunner(self.pause_s, self.hold_from)


@dataclass(frozen=True)
class FakeRunner:
    pause_s: float = 0.0
    hold_from: str | None = None

    def run(self, tasks):
        for task in tasks:
            if task is None:
                return
            yield self.result(task)

    def result(self, task):
        name, output = task.case.name, Path(task.output)
        if task.known == "content":
            return TaskResult(name, CaseState.SAME, "content")
        time.sleep(self.pause_s)
        while self.hold_from is not None and name >= self.hold_from and not (output / "go").exists():
            time.sleep(0.01)
        marker = output / f".{name}"
        if "deadly" in name or ("once" in name and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "bad" in name:
            return TaskResult(name, CaseState.FAILED, kind="VolumeError", detail="t1.nii.gz is damaged. Copy it again.")
        folder = output / "cases" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps({"name": name}))
        with (output / "runs").open("a") as stream:
            stream.write(f"{name}\n")
        row = {"case": name, "volume_wt_ml": 1.5, "results": f"cases/{name}"}
        return TaskResult(name, CaseState.DONE, "content", row)
