"""Markdown page of a comparison of two evaluations."""

from collections.abc import Mapping
from typing import Any

from brats_mm.domain.availability import describe, format_subset
from brats_mm.evaluation.markdown import format_model_label
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.evaluation.tables import IN_MILLIMETRES
from brats_mm.outputs.markdown import NOTHING, format_table


def render_comparison_markdown(document: Mapping[str, Any]) -> str:
    """Render a comparison document as Markdown."""
    a, b = document["a"], document["b"]
    parts = [
        "# Comparison of two evaluations",
        f"A: {a['folder']} ({format_model_label(a['model'])}). B: {b['folder']} ({format_model_label(b['model'])}). "
        f"{document['cases']} cases in both. Difference: {document['difference']}; interval: {document['interval']}; "
        f"test: {document['test']}.",
        "## Means over subsets",
        "In percent; HD95 in millimetres.",
        _render_means(document),
        "## Counter-intuitive rate, in percent",
        format_table(
            ["region", "A", "B", "B - A", "interval"],
            [
                [region.value.upper(), *_format_cells(document["counterintuitive"].get(region.value), 100.0)]
                for region in REGION_ORDER
            ],
        ),
        "## Dice of each subset, B - A in percentage points (p corrected by Holm)",
        _render_sets(document),
    ]
    return "\n\n".join(parts) + "\n"


def _render_means(document: Mapping[str, Any]) -> str:
    rows = []
    for rule, regions in document["means"].items():
        for region in REGION_ORDER:
            for name, comparison in regions[region.value].items():
                cells = _format_cells(comparison, 1.0 if name in IN_MILLIMETRES else 100.0)
                p = NOTHING if comparison["p"] is None else f"{comparison['p']:.2g}"
                rows.append([name, region.value.upper(), rule, *cells, p, str(comparison["cases"])])
    return format_table(["score", "region", "rule", "A", "B", "B - A", "interval", "p", "cases"], rows)


def _render_sets(document: Mapping[str, Any]) -> str:
    rows = []
    for subset in PAPER_ORDER:
        regions = document["sets"].get(format_subset(subset))
        if regions:
            rows.append([describe(subset), *(_format_change(regions.get(region.value)) for region in REGION_ORDER)])
    return format_table(["available", *(region.value.upper() for region in REGION_ORDER)], rows)


def _format_change(comparison: Mapping[str, Any] | None) -> str:
    return NOTHING if comparison is None else f"{100 * comparison['difference']:+.2f} (p {comparison['p_holm']:.2g})"


def _format_cells(comparison: Mapping[str, Any] | None, scale: float) -> list[str]:
    if comparison is None or comparison["difference"] is None:
        return [NOTHING] * 4
    interval = f"{scale * comparison['low']:+.2f} to {scale * comparison['high']:+.2f}"
    return [
        f"{scale * comparison['a']:.2f}",
        f"{scale * comparison['b']:.2f}",
        f"{scale * comparison['difference']:+.2f}",
        interval,
    ]
