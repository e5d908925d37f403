"""Time a case from files to files: our engine, MONAI's model zoo, nnU-Net v2 and an unoptimised mixture.

    pip install "brats-mm[bench]"
    python benchmarks/inference_peers.py --cases FOLDER [--ways ours plain zoo nnunet] [--rounds 3] [-o peers.json]

FOLDER has one subfolder per case with four sequences. Without it, a synthetic head of 240 x 240 x 155 voxels is used.
Models are loaded before the measurement. The methods alternate case by case, in reversed order every second round, so
that other programs slow down all of them. With several rounds, the first does not count. The others have random
weights, which do not affect the time. `inference_peer_ways.py` describes each method.

All methods read and write 1 mm. `plain` runs the shipped modality experts, which compute on a lattice of 2 mm, and no
cross-sequence expert.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
from inference_cohort import made_cases
from inference_peer_ways import WAYS, Way, missing_package

DEFAULT_WAYS = tuple(name for name in WAYS if name != "nnunet_mirrored")


def timed(way: Way, case: Path) -> float:
    """Return the seconds from the files of a case to the files of its results."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        way(case, Path(folder))
        return time.perf_counter() - start


def measure(ways: dict[str, Way], cases: list[Path], rounds: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Return the seconds of each method, one value per case and round."""
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
    """Return the median seconds of each method, and its median ratio to the first method over pairs."""
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
    parser.add_argument("--cases", type=Path, help="folder with one subfolder per case (default: a synthetic head)")
    parser.add_argument("--limit", type=int, help="number of cases to use")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: %(default)s)")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(DEFAULT_WAYS), help="methods to compare")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for all figures")
    options = machine.parse(parser)
    ways: dict[str, Way] = {}
    for name in options.ways:
        package = missing_package(name)
        if package is not None:
            print(f"Skipped {name}, because {package} is not installed. Run: pip install 'brats-mm[bench]'")
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
            "machine": options.machine,
            "device": options.device,
            "cases": len(cases),
            "table": table,
            "seconds": seconds,
        }
        options.output.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
