"""Time a case from files to files by stage, backend and number of sequences, in new processes.

    python benchmarks/files_to_files.py --case FOLDER [--rounds 3] [--backends openvino torch] [-o files_to_files.json]

FOLDER holds one case with four sequences. Each row is a separate process that imports torch and the library, loads the
shipped model, and segments the case `--rounds` times into a new folder. The first round is the first result of a new
process. The others give the medians. `start` is everything before the case is read, without the import of torch.
`overhead` is what no stage covers. `peak` is the process's peak memory.

The last table has the cost by number of sequences as a share of all four, next to the goal of k / 4 + 0.15.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

SETS: dict[str, tuple[str, ...]] = {
    "T1, T1ce, T2, FLAIR": ("t1", "t1ce", "t2", "flair"),
    "T1ce, T2, FLAIR": ("t1ce", "t2", "flair"),
    "T1, FLAIR": ("t1", "flair"),
    "T1ce": ("t1ce",),
    "FLAIR": ("flair",),
}
STAGES = ("read", "prepare", "network", "restore", "write")


def segment_in_this_process(case: Path, names: tuple[str, ...], backend: str, rounds: int) -> dict[str, Any]:
    """Segment a case, as `brats-mm segment` does, and return the seconds of each round and stage."""
    from brats_mm.execution.malloc_tuning import tune_malloc_for_inference

    tune_malloc_for_inference("cpu")
    start = time.perf_counter()
    import torch

    torch_s = time.perf_counter() - start
    from brats_mm.pipeline.request import make_request
    from brats_mm.pipeline.segment import segment
    from brats_mm.pipeline.segmenter import Segmenter

    segmenter = Segmenter.from_bundle(backend=backend)
    start_s = time.perf_counter() - start - torch_s
    files = {name: next(case.glob(f"*{name}.nii*")) for name in names}
    made = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            begun, cpu = time.perf_counter(), time.process_time()
            result = segment(make_request(files, Path(folder) / "out"), segmenter)
            whole = time.perf_counter() - begun
        stages = {name: float(result.report["run"]["seconds"].get(name, 0)) for name in STAGES}
        row = {"whole": whole, **stages, "overhead": whole - sum(stages.values()), "cpu": time.process_time() - cpu}
        made.append({name: round(value, 3) for name, value in row.items()})
    from brats_mm.training.peak_memory import measure_peak_bytes

    return {
        "torch_import_s": round(torch_s, 3),
        "start_s": round(start_s, 3),
        "first_result_s": round(start_s + made[0]["whole"], 3),
        "rounds": made,
        "windows": result.prediction.run.windows,
        "precision": result.prediction.run.precision,
        "threads": torch.get_num_threads(),
        "peak_gb": round((measure_peak_bytes("cpu") or math.nan) / 1e9, 2),
    }


def in_new_process(case: Path, names: tuple[str, ...], backend: str, rounds: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--case", str(case), "--rounds", str(rounds), "--child", backend, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def median_of(row: dict[str, Any], stage: str) -> float:
    """Return the median of a stage without the first round, if there are several."""
    return statistics.median(timing[stage] for timing in row["rounds"][1:] or row["rounds"])


def table(rows: list[dict[str, Any]]) -> str:
    """Format the rows as Markdown."""
    head = ["backend", "sequences", "whole s", *(f"{stage} s" for stage in (*STAGES, "overhead")), "CPU s"]
    head += ["windows", "start s", "first result s", "peak GB"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in rows:
        cells = [row["backend"], row["sequences"]]
        cells += [f"{median_of(row, stage):.2f}" for stage in ("whole", *STAGES, "overhead", "cpu")]
        cells += [str(row["windows"]), f"{row['start_s']:.2f}", f"{row['first_result_s']:.2f}", f"{row['peak_gb']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shares(rows: list[dict[str, Any]], backend: str) -> str:
    """Format the cost by number of sequences as a share of all four."""
    mine = {row["sequences"]: median_of(row, "whole") for row in rows if row["backend"] == backend}
    full = mine[next(iter(SETS))]
    lines = [f"| {backend} | share of four | goal |", "|---|---:|---:|"]
    for name, seconds in mine.items():
        lines.append(f"| {name} | {seconds / full:.2f} | {len(SETS[name]) / 4 + 0.15:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, required=True, help="folder of a case with four sequences")
    parser.add_argument(
        "--rounds", type=int, default=4, help="rounds per process, including a warm-up round (default: 4)"
    )
    parser.add_argument("--backends", nargs="+", default=["openvino", "torch"], choices=["openvino", "torch"])
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help="JSON file for all figures")
    if "--child" in sys.argv:  # the parent has already checked the load
        options = parser.parse_args()
        backend, *names = options.child
        print(json.dumps(segment_in_this_process(options.case, tuple(names), backend, options.rounds)))
        return
    options = machine.parse(parser)
    rows = []
    for backend in options.backends:
        for label, names in SETS.items():
            row = in_new_process(options.case, names, backend, options.rounds)
            rows.append({"backend": backend, "sequences": label, **row})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    print()
    print(table(rows))
    for backend in options.backends:
        print(f"\n{shares(rows, backend)}")
    if options.output:
        options.output.write_text(json.dumps({"machine": options.machine, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
