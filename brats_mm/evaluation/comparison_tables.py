"""CSV and LaTeX tables of a comparison of two evaluations."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import describe, format_subset
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.outputs.latex import escape, format_row, format_tabular

COLUMNS = ("sequences", "region", "rule", "score", "cases", "a", "b", "difference", "low", "high", "p", "p_holm")


def write_comparison_csv(path: Path, document: Mapping[str, Any]) -> None:
    """Write all paired differences: of the means over subsets for each score, and of the Dice of each subset."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        for rule, regions in document["means"].items():
            for region in REGIONS:
                for score, comparison in regions[region.value].items():
                    row = {"sequences": "all_sets", "region": region.value, "rule": rule, "score": score}
                    writer.writerow({**row, **_format_floats(comparison)})
        for subset, regions in document["sets"].items():
            for region, comparison in regions.items():
                row = {"sequences": subset, "region": region, "rule": "raw", "score": "dice"}
                writer.writerow({**row, **_format_floats(comparison)})


def render_comparison_latex(document: Mapping[str, Any]) -> str:
    """Render the Dice: both means, difference, interval and p value by region and subset."""
    a, b = (escape(document[side]["folder"]) for side in ("a", "b"))
    means = [
        _format_row("all subsets", region, document["means"]["raw"][region.value]["dice"], "p")
        for region in REGION_ORDER
    ]
    sets = [
        _format_row(describe(subset), region, document["sets"][format_subset(subset)][region.value], "p_holm")
        for subset in PAPER_ORDER
        for region in REGION_ORDER
        if region.value in document["sets"].get(format_subset(subset), {})
    ]
    caption = (
        f"Dice in \\%. A: {a}. B: {b}. {document['cases']} cases, paired. Intervals: bootstrap over cases. p: Wilcoxon "
        "signed-rank test, corrected by Holm's method for single subsets"
    )
    head = "sequences & region & A & B & B $-$ A & interval & p"
    return format_tabular("llrrrrr", head, ["\n".join(block) for block in (means, sets) if block], caption)


def _format_floats(comparison: Mapping[str, Any]) -> dict[str, Any]:
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in comparison.items()}


def _format_row(name: str, region: Region, comparison: Mapping[str, Any], p: str) -> str:
    cells = [name, region.value.upper()]
    if comparison["difference"] is None:
        return format_row([*cells, *["--"] * 5])
    cells += [
        f"{100 * comparison['a']:.1f}",
        f"{100 * comparison['b']:.1f}",
        f"${100 * comparison['difference']:+.1f}$",
    ]
    return format_row(
        [*cells, f"[${100 * comparison['low']:+.1f}$, ${100 * comparison['high']:+.1f}$]", f"{comparison[p]:.2g}"]
    )
