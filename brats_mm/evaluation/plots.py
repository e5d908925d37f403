"""Plots of an evaluation: heat map of the subsets, Dice by number of sequences, reliability, filtered Dice."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brats_mm.domain.availability import describe, format_subset
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.evaluation.published import PAPER_ORDER

COLOURS = {Region.WT: "#59a14f", Region.TC: "#e15759", Region.ET: "#b8860b"}
DPI = 120


def write_plots(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every plot as PNG into a folder and return the files."""
    plots: dict[str, tuple[Callable[[Axes, Mapping[str, Any]], None], tuple[float, float]]] = {
        "dice_by_set.png": (draw_heat_map, (5.0, 6.5)),
        "dice_by_number.png": (draw_by_number, (5.5, 4.0)),
        "reliability.png": (draw_reliability, (5.0, 5.0)),
        "filtered_dice.png": (draw_filtered, (5.5, 4.0)),
    }
    files = []
    for name, (draw, size) in plots.items():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(), document)
        figure.savefig(folder / name, dpi=DPI)
        files.append(folder / name)
    return files


def draw_heat_map(axes: Axes, document: Mapping[str, Any]) -> None:
    """Draw the mean raw Dice of each subset and region in percent."""
    subsets = [subset for subset in PAPER_ORDER if format_subset(subset) in document["sets"]]
    values = np.array(
        [[_look_up_dice(document, format_subset(subset), region) for region in REGIONS] for subset in subsets]
    )
    picture = axes.imshow(100 * values, aspect="auto", cmap="viridis", vmin=0, vmax=100)
    axes.set_xticks(range(len(REGIONS)), [region.value.upper() for region in REGIONS])
    axes.set_yticks(range(len(subsets)), [describe(subset) for subset in subsets])
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        text = "-" if math.isnan(value) else f"{100 * value:.1f}"
        axes.text(column, row, text, ha="center", va="center", color="black" if value > 0.6 else "white")
    axes.set_title(f"Dice in percent (cases: {document['cases']})")
    axes.figure.colorbar(picture, ax=axes, shrink=0.6)


def draw_by_number(axes: Axes, document: Mapping[str, Any]) -> None:
    """Draw Dice against the number of sequences, with a dot per subset and a line for the mean."""
    for offset, region in zip((-0.08, 0.0, 0.08), REGIONS, strict=True):
        by_number: dict[int, list[float]] = {}
        for name in document["sets"]:
            by_number.setdefault(name.count("+") + 1, []).append(100 * _look_up_dice(document, name, region))
        numbers = sorted(by_number)
        for number in numbers:
            axes.plot([number + offset] * len(by_number[number]), by_number[number], ".", color=COLOURS[region])
        means = [float(np.mean(by_number[number])) for number in numbers]
        axes.plot(
            [number + offset for number in numbers], means, "-", color=COLOURS[region], label=region.value.upper()
        )
    axes.set_xticks([1, 2, 3, 4])
    axes.set_ylim(0, 100)
    axes.set_xlabel("number of sequences")
    axes.set_ylabel("mean Dice in percent")
    axes.set_title(f"One dot per subset, lines are means (cases: {document['cases']})")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower right")


def draw_reliability(axes: Axes, document: Mapping[str, Any]) -> None:
    """Draw the reliability diagram of each region, pooled over cases and subsets.

    Args:
        axes: axes to draw on.
        document: the evaluation, as in its JSON file.
    """
    axes.plot([0, 1], [0, 1], ":", color="grey", label="perfect")
    for region in REGIONS:
        calibration = document["calibration"][region.value]
        rows = [row for row in calibration["curve"] if row["voxels"]]
        points = [row["probability"] for row in rows], [row["frequency"] for row in rows]
        label = f"{region.value.upper()}, ECE {calibration['pooled']['ece']:.4f}"
        axes.plot(*points, "o-", color=COLOURS[region], label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel("mean predicted probability")
    axes.set_ylabel("observed frequency")
    axes.legend(loc="upper left")
    axes.set_title("Voxels inside each case's brain box, all subsets")


def draw_filtered(axes: Axes, document: Mapping[str, Any]) -> None:
    """Draw the QU-BraTS curves: Dice after dropping voxels above an entropy threshold."""
    for region in REGIONS:
        curves = document["uncertainty"][region.value]["filtered"]
        share = curves["entropy_percent_of_ln2"]
        axes.plot(share, curves["dice"], "-", color=COLOURS[region], label=f"{region.value.upper()} Dice")
        axes.plot(share, curves["lost_true_positives"], "--", color=COLOURS[region], linewidth=1)
    axes.set_xlabel("entropy threshold, percent of ln 2")
    axes.set_ylabel("Dice (solid), true positives dropped (dashed)")
    axes.set_ylim(0, 1.02)
    axes.set_title("Dice of the remaining voxels, all cases and subsets")
    axes.figure.legend(loc="outside lower center", ncols=3)  # outside, so that it covers no curve


def _look_up_dice(document: Mapping[str, Any], name: str, region: Region) -> float:
    value = document["sets"][name]["raw"][region.value]["dice"]["mean"]
    return math.nan if value is None else float(value)
