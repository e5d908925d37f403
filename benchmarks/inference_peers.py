"""Segmenting a case, files in to files out, beside its peers: ours, the zoo's pipeline, nnU-Net v2, a plain mixture.

    pip install "brats-mm[bench]"
    python benchmarks/inference_peers.py --cases FOLDER [--ways ours plain zoo nnunet] [--rounds 3] [-o peers.json]

FOLDER has one sub-folder a case with four sequences; without it a head of 240 x 240 x 155 voxels is made. Models are
loaded before the clock starts. The ways take turns, case by case, in reversed order every second round, so that another
program's load falls on all. The first round does not count when there are several. Peers have random weights: the time
does not depend on them. What each way is stands in `inference_peer_ways.py`.

The shipped model works at 2 mm, the peers at 1 mm: part of the ratio is the voxel size. `ours_1mm` is our engine with
the same weights at 1 mm, for its time alone, so that both can be read.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inference_cohort import made_cases
from inference_peer_ways import WAYS, Way, missing_package

DEFAULT_WAYS = tuple(name for name in WAYS if name != "nnunet_mirrored")


def timed(way: Way, case: Path) -> float:
    """Seconds from a case's files to its results' files."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        way(case, Path(folder))
        return time.perf_counter() - start


def measure(ways: dict[str, Way], cases: list[Path], rounds: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds a case of each way: one value a case and round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(reversed(ways))
        for case in cases:
            for name in order:
                spent = timed(ways[name], case)
                counts = rounds == 1 or number > 0
                say(f"round {number + 1} {case.name} {name}: {spent:.2f} s{'' if counts else ' (warming up)'}")
                if counts:
                    seconds[name].append(round(spent, 3))
    return seconds


def summary(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median seconds of each way, and the median over pairs of how many times as long as the first way it takes."""
    first = next(iter(seconds.values()))
    return {
        name: {
            "median_s": round(statistics.median(values), 3),
            "times_ours": round(statistics.median(a / b for a, b in zip(values, first, strict=True)), 2),
        }
        for name, values in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folder with one sub-folder a case; without it a head is made")
    parser.add_argument("--limit", type=int, help="use the first so many cases")
    parser.add_argument("--rounds", type=int, default=3, help="times each case is taken (default: %(default)s)")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(DEFAULT_WAYS), help="what to compare")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="also write all figures to this JSON file")
    options = parser.parse_args()
    ways: dict[str, Way] = {}
    for name in options.ways:
        package = missing_package(name)
        if package is not None:
            print(f"{name} is left out: {package} is not installed. pip install 'brats-mm[bench]' brings it.")
            continue
        ways[name] = WAYS[name](options.device)
    with tempfile.TemporaryDirectory() as folder:
        cases = sorted(path for path in options.cases.iterdir() if path.is_dir()) if options.cases else []
        cases = (cases or made_cases(Path(folder), 1))[: options.limit]
        seconds = measure(ways, cases, options.rounds, lambda line: print(line, flush=True))
    table = summary(seconds)
    print(f"\n{'way':18}{'median s':>10}{'times ' + next(iter(table)):>16}")
    for name, row in table.items():
        print(f"{name:18}{row['median_s']:10.2f}{row['times_ours']:16.1f}")
    if options.output:
        content: dict[str, Any] = {
            "machine": {
                "processor": platform.processor(),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            },
            "device": options.device,
            "cases": len(cases),
            "table": table,
            "seconds": seconds,
        }
        options.output.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
