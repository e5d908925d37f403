"""Train methods on lists in which few training cases have one sequence, and draw Dice against the share of these cases.

    python benchmarks/rare_sequence.py CASES -o OUT --keep t1ce --methods simmlm mmp --minutes 60 --force

Writes a list for each share with `brats-mm datalist --keep`, compares the methods on it with `brats-mm experiment`, and
draws `rare_sequence.svg`. A run that was interrupted continues. Needs hours, mostly of training.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import machine

from brats_mm.domain.sequence_names import parse_modality

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of SimMLM's supplement."""

BRATS_MM = (sys.executable, "-c", "from brats_mm.cli.main import entry; entry()")

Dice = Mapping[str, Mapping[str, Mapping[float, float]]]
"""Mean Dice by region, method and share."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="folder of labelled cases")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for lists, experiments and the picture"
    )
    parser.add_argument("--keep", default="t1ce", help="the rare sequence")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=list(SHARES), help="fractions of the training cases that keep it"
    )
    parser.add_argument("--methods", nargs="+", default=["simmlm", "mmp", "early_fusion"], help="methods to compare")
    parser.add_argument("--seed", type=int, default=1, help="random seed for the choice of cases")
    parser.add_argument("--minutes", type=float, default=60.0, help="training minutes per method and fraction")
    options = machine.parse(parser)
    tables = {share: measured(options, share) for share in options.shares}
    dice = collect(tables)
    document = {"machine": options.machine, "keep": options.keep, "seed": options.seed, "dice": dice}
    (options.output / "rare_sequence.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    plot(dice, options.keep, options.output / "rare_sequence.svg")


def measured(options: argparse.Namespace, share: float) -> Path:
    """Write the list of a share, run the experiment on it, and return its table of scores."""
    name = f"{options.keep}_{share:g}"
    listed, folder = options.output / f"{name}.json", options.output / name
    if not listed.is_file():
        words = ("--keep", f"{options.keep}={share:g}", "--seed", str(options.seed))
        subprocess.run([*BRATS_MM, "datalist", options.cases, "-o", listed, *words], check=True)
    arguments = ("--dataset-dir", options.cases, "--datalist", listed, "-o", folder, "--minutes", str(options.minutes))
    subprocess.run([*BRATS_MM, "experiment", *options.methods, *arguments], check=True)
    return folder / "sets.csv"


def collect(tables: Mapping[float, Path]) -> Dice:
    """Return the mean over subsets and seeds of the Dice of each region, method and share.

    Args:
        tables: `sets.csv` of an experiment by share.
    """
    result: defaultdict[str, defaultdict[str, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    for share, path in tables.items():
        values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["dice"]:  # empty if no case has the subset
                    values[row["region"], row["method"]].append(float(row["dice"]))
        for (region, method), dice in values.items():
            result[region][method][share] = sum(dice) / len(dice)
    return result


def plot(dice: Dice, sequence: str, path: Path) -> None:
    """Draw a panel per region with a line per method.

    Args:
        dice: result of `collect`.
        sequence: the rare sequence.
        path: file of the picture.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(dice), figsize=(3.4 * len(dice), 3.2), layout="constrained", squeeze=False)
    for axes, (region, methods) in zip(panels[0], dice.items(), strict=True):
        for method, by_share in methods.items():
            shares = sorted(by_share)
            axes.plot(
                [100 * share for share in shares],
                [100 * by_share[share] for share in shares],
                marker="o",
                label=method,
            )
        axes.set_title(region.upper())
        axes.set_xlabel(f"training cases with {parse_modality(sequence).label}, %")
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("mean Dice over 15 subsets, %")
    panels[0][-1].legend()
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main()
