"""Measure cases per minute with and without overlapped reading, computing and writing, and memory after each case.

    python benchmarks/inference_cohort.py --cases FOLDER [--count 12] [--output cohort.json]

FOLDER has one subfolder per case. Without it, synthetic heads are used. Cases are repeated until there are `--count`.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

from brats_mm import Segmenter
from brats_mm.data.phantom.head import make_phantom
from brats_mm.outputs.nifti import write_map
from brats_mm.pipeline.batch import Overlap, segment_many
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment


def made_cases(folder: Path, count: int = 2) -> list[Path]:
    """Write synthetic heads of 240 x 240 x 155 voxels as case folders."""
    cases = []
    for seed in range(count):
        phantom = make_phantom(seed, (240, 240, 155))
        case = folder / f"made_{seed}"
        case.mkdir(parents=True)
        for modality, volume in phantom.images.items():
            path = case / f"{case.name}_{modality.value}.nii.gz"
            write_map(path, volume.data, volume.grid, description="made", maximum=float(volume.data.max()))
        cases.append(case)
    return cases


def resident_mib() -> float:
    """Return the current memory of this process. Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(cases: list[Path], count: int, segmenter: Segmenter, overlap: Overlap) -> dict[str, Any]:
    """Run the same cases sequentially, then overlapped, so that the overlapped memory starts from a warm process."""
    wanted = [cases[number % len(cases)] for number in range(count)]
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        for number, case in enumerate(wanted):
            segment(make_request(case, Path(out) / f"one_{number}"), segmenter)
        one_by_one_s = time.perf_counter() - start
        jobs = [make_request(case, Path(out) / f"many_{number}") for number, case in enumerate(wanted)]
        memory = []
        start = time.perf_counter()
        for outcome in segment_many(jobs, segmenter, overlap=overlap):
            if outcome.error is not None:
                raise outcome.error
            memory.append(round(resident_mib()))
            print(f"case {len(memory)}: {memory[-1]} MiB", flush=True)
        overlapped_s = time.perf_counter() - start
    return {
        "cases": count,
        "cases_a_minute_one_by_one": round(60 * count / one_by_one_s, 2),
        "cases_a_minute_overlapped": round(60 * count / overlapped_s, 2),
        "gain": round(one_by_one_s / overlapped_s, 3),
        "resident_mib_after_each_case": memory,
        "growth_after_third_case_mib": max(memory[2:]) - memory[2] if count > 3 else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folder with one subfolder per case (default: synthetic heads)")
    parser.add_argument("--count", type=int, default=12, help="number of cases (default: %(default)s)")
    parser.add_argument("--ahead", type=int, default=1, help="cases to read ahead (default: %(default)s)")
    parser.add_argument("--writers", type=int, default=1, help="cases to write in parallel (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    parser.add_argument("--bundle", type=Path, help="bundle folder (default: the shipped one)")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = machine.parse(parser)
    segmenter = Segmenter.from_bundle(options.bundle, device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        cases = sorted(path for path in options.cases.iterdir() if path.is_dir()) if options.cases else []
        seconds = measure(
            cases or made_cases(Path(folder)), options.count, segmenter, Overlap(options.ahead, options.writers)
        )
    seconds["machine"] = options.machine
    print(json.dumps(seconds, indent=2))
    if options.output:
        options.output.write_text(json.dumps(seconds, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
