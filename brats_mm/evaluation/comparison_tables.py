"""Markdown, CSV and LaTeX tables of a comparison of two evaluations."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import describe, subset_name
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.outputs.markdown import NOTHING, table


def tabular(columns: str, head: str, blocks: Sequence[str], caption: str) -> str:
    """Return a `tabular` of blocks of rows with rules between them, after its caption as a comment.

    Args:
        columns: LaTeX column specification.
        head: cells of the header row.
        blocks: blocks of rows, each row already formatted.
        caption: text of the comment.
    """
    body = "\n\\midrule\n".join(blocks)
    return (
        f"% {caption}.\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def row(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Escape the characters that LaTeX interprets."""
    return "".join(_SPECIAL.get(character, character) for character in text)


_SPECIAL = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


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
                    writer.writerow({**row, **_plain(comparison)})
        for subset, regions in document["sets"].items():
            for region, comparison in regions.items():
                row = {"sequences": subset, "region": region, "rule": "raw", "score": "dice"}
                writer.writerow({**row, **_plain(comparison)})


def comparison_latex(document: Mapping[str, Any]) -> str:
    """Render the Dice: both means, difference, interval and p value by region and subset."""
    a, b = (escape(document[side]["folder"]) for side in ("a", "b"))
    means = [
        _row("all subsets", region, document["means"]["raw"][region.value]["dice"], "p") for region in REGION_ORDER
    ]
    sets = [
        _row(describe(subset), region, document["sets"][subset_name(subset)][region.value], "p_holm")
        for subset in PAPER_ORDER
        for region in REGION_ORDER
        if region.value in document["sets"].get(subset_name(subset), {})
    ]
    caption = (
        f"Dice in \\%. A: {a}. B: {b}. {document['cases']} cases, paired. Intervals: bootstrap over cases. p: Wilcoxon "
        "signed-rank test, corrected by Holm's method for single subsets"
    )
    head = "sequences & region & A & B & B $-$ A & interval & p"
    return tabular("llrrrrr", head, ["\n".join(block) for block in (means, sets) if block], caption)


def _plain(comparison: Mapping[str, Any]) -> dict[str, Any]:
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in comparison.items()}


def _row(name: str, region: Region, comparison: Mapping[str, Any], p: str) -> str:
    cells = [name, region.value.upper()]
    if comparison["difference"] is None:
        return row([*cells, *["--"] * 5])
    cells += [
        f"{100 * comparison['a']:.1f}",
        f"{100 * comparison['b']:.1f}",
        f"${100 * comparison['difference']:+.1f}$",
    ]
    return row(
        [*cells, f"[${100 * comparison['low']:+.1f}$, ${100 * comparison['high']:+.1f}$]", f"{comparison[p]:.2g}"]
    )


IN_MILLIMETRES = frozenset({"hd95_mm", "lesion_hd95_mm"})


def comparison_markdown(document: Mapping[str, Any]) -> str:
    """Render a comparison document as Markdown."""
    a, b = document["a"], document["b"]
    parts = [
        "# Comparison of two evaluations",
        f"A: {a['folder']} ({a['model']['name']} {a['model']['version']}). B: {b['folder']} ({b['model']['name']} "
        f"{b['model']['version']}). {document['cases']} cases in both. Difference: {document['difference']}; interval: "
        f"{document['interval']}; test: {document['test']}.",
        "## Means over subsets",
        "In percent; HD95 in millimetres.",
        _means(document),
        "## Counter-intuitive rate, in percent",
        table(
            ["region", "A", "B", "B - A", "interval"],
            [
                [region.value.upper(), *_cells(document["counterintuitive"].get(region.value), 100.0)]
                for region in REGION_ORDER
            ],
        ),
        "## Dice of each subset, B - A in percentage points (p corrected by Holm)",
        _sets(document),
    ]
    return "\n\n".join(parts) + "\n"


def _means(document: Mapping[str, Any]) -> str:
    rows = []
    for rule, regions in document["means"].items():
        for region in REGION_ORDER:
            for name, comparison in regions[region.value].items():
                cells = _cells(comparison, 1.0 if name in IN_MILLIMETRES else 100.0)
                p = NOTHING if comparison["p"] is None else f"{comparison['p']:.2g}"
                rows.append([name, region.value.upper(), rule, *cells, p, str(comparison["cases"])])
    return table(["score", "region", "rule", "A", "B", "B - A", "interval", "p", "cases"], rows)


def _sets(document: Mapping[str, Any]) -> str:
    rows = []
    for subset in PAPER_ORDER:
        regions = document["sets"].get(subset_name(subset))
        if regions:
            rows.append([describe(subset), *(_change(regions.get(region.value)) for region in REGION_ORDER)])
    return table(["available", *(region.value.upper() for region in REGION_ORDER)], rows)


def _change(comparison: Mapping[str, Any] | None) -> str:
    return NOTHING if comparison is None else f"{100 * comparison['difference']:+.2f} (p {comparison['p_holm']:.2g})"


def _cells(comparison: Mapping[str, Any] | None, scale: float) -> list[str]:
    if comparison is None or comparison["difference"] is None:
        return [NOTHING] * 4
    interval = f"{scale * comparison['low']:+.2f} to {scale * comparison['high']:+.2f}"
    return [
        f"{scale * comparison['a']:.2f}",
        f"{scale * comparison['b']:.2f}",
        f"{scale * comparison['difference']:+.2f}",
        interval,
    ]
