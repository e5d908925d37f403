"""Measure the planning time of a cohort, the memory for a long manifest, and cases per minute.

    python benchmarks/cohort_scale.py [--cases FOLDER --count 12] [--json cohort_scale.json]

1. 10,000 cases without a model and with two workers: seconds per case, and their share of a real case's time.
2. The same command again: seconds per unchanged case.
3. A manifest of 100,000 lines without a model: memory of the planner at the start, in the middle and at the end.
4. With --cases: cases per minute with one and with two workers on the same cores, after loading the model, and the
   memory of each worker. The cases are repeated under other names until there are `--count`.
"""

import argparse
import csv
import json
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import machine

from brats_mm.cohort.content import hash_content
from brats_mm.cohort.manifest import Manifest, open_manifest
from brats_mm.cohort.model import SegmentCases
from brats_mm.cohort.records import CaseState, CaseTask, TaskResult
from brats_mm.cohort.run import CohortSettings, CohortStatus, run_cohort
from brats_mm.execution.local_engine import LocalEngine
from brats_mm.pipeline.request import make_request


@dataclass(frozen=True)
class NothingRunner:
    """A model that computes nothing. With `writes`, it writes the file that marks a case with results."""

    writes: bool

    def run(self, tasks: Iterable[CaseTask | None]) -> Iterator[TaskResult]:
        for task in tasks:
            if task is None:
                return
            name = task.case.name
            if self.writes:
                folder = Path(task.output, "cases", name)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "report.json").write_text("{}", encoding="ascii")
            row = {"case": name, "sequences": "t1", "volume_wt_ml": 1.0, "seconds": 0.0, "results": f"cases/{name}"}
            yield TaskResult(name, CaseState.DONE, hash_content(task.case), row)


@dataclass(frozen=True)
class LoadNothing:
    """Load the model that computes nothing."""

    writes: bool

    def __call__(self, slot: int) -> NothingRunner:
        return NothingRunner(self.writes)


def resident_mib(pid: int | str = "self") -> float:
    """Return the current memory of a process. Linux only."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def made_manifest(folder: Path, count: int) -> Manifest:
    """Write a table of `count` cases that share one small file."""
    if not (folder / "t1.nii.gz").exists():
        (folder / "t1.nii.gz").write_bytes(b"nothing")
    table = folder / f"{count}.csv"
    with table.open("w", newline="", encoding="ascii") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "t1"])
        writer.writerows([f"case-{number:06d}", "t1.nii.gz"] for number in range(count))
    return open_manifest(table)


def planning(folder: Path, count: int, *, writes: bool) -> dict[str, Any]:
    """Measure seconds per case and the planner's memory, without a model."""
    manifest = made_manifest(folder, count)
    memory: list[float] = []

    def look(status: CohortStatus) -> None:
        if status.ended % max(1, count // 20) == 1:
            memory.append(round(resident_mib(), 1))

    start = time.perf_counter()
    status = run_cohort(
        manifest, folder / f"out-{count}", LocalEngine(LoadNothing(writes), 2), CohortSettings("nothing"), look
    )
    took = time.perf_counter() - start
    assert status.ended == count
    return {
        "cases": count,
        "computed": status.done,
        "skipped": status.skipped,
        "milliseconds_a_case": round(1000 * took / count, 3),
        "planner_mib_first_middle_last": [memory[0], memory[len(memory) // 2], memory[-1]],
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def throughput(folder: Path, cases: list[Path], count: int, workers: int) -> dict[str, Any]:
    """Measure cases per minute with the real model, and the memory of the workers."""
    table = folder / f"real-{workers}.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "folder"])
        writer.writerows(
            [f"{number:03d}-{case.name}", str(case.resolve())]
            for number, case in enumerate(islice(cycle(cases), count + workers))
        )
    engine = LocalEngine(SegmentCases(make_request(device="cpu")), workers)
    ends: list[float] = []
    memory: list[list[int]] = []

    def look(_: CohortStatus) -> None:
        ends.append(time.perf_counter())
        memory.append([round(resident_mib(pid)) for pid in engine.pids])

    status = run_cohort(open_manifest(table), folder / f"real-{workers}", engine, CohortSettings("real"), look)
    assert status.failed == 0
    counted = ends[workers - 1 :]  # the first case of each worker includes loading
    return {
        "workers": workers,
        "cases": len(counted) - 1,
        "cases_a_minute": round(60 * (len(counted) - 1) / (counted[-1] - counted[0]), 2),
        "workers_mib_after_first": memory[workers],
        "workers_mib_after_last": memory[-1],
        "planner_mib": round(resident_mib(), 1),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folder with one subfolder per case")
    parser.add_argument("--count", type=int, default=12, help="number of real cases for each number of workers")
    parser.add_argument("--planned", type=int, default=10_000, help="number of cases in part 1")
    parser.add_argument("--lines", type=int, default=100_000, help="number of lines in the manifest of part 3")
    parser.add_argument("--json", type=Path, help="JSON file for the figures")
    options = machine.parse(parser)
    results: dict[str, Any] = {"machine": options.machine}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results["planning"] = planning(folder, options.planned, writes=True)
        results["resuming"] = planning(folder, options.planned, writes=True)
        results["long_manifest"] = planning(folder, options.lines, writes=False)
        if options.cases is not None:
            cases = sorted(path for path in options.cases.iterdir() if path.is_dir())
            results["real"] = [throughput(folder, cases, options.count, workers) for workers in (1, 2)]
            case_s = 60 / results["real"][0]["cases_a_minute"]
            results["planning"]["percent_of_a_case"] = round(
                results["planning"]["milliseconds_a_case"] / case_s / 10, 3
            )
    print(json.dumps(results, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
