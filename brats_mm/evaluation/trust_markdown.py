"""Render the figures of a trust profile as Markdown tables."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

from brats_mm.domain.regions import REGIONS
from brats_mm.domain.trust_profile import SequenceGroup, TrustProfile
from brats_mm.outputs.markdown import format_figure, format_table
from brats_mm.trust.assess import describe_coverage
from brats_mm.trust.case_dice import Grade
from brats_mm.trust.gains import KINDS
from brats_mm.trust.left_out import FITTED

Figures: TypeAlias = Mapping[str, Any]
Cell: TypeAlias = Callable[[Figures], str]

RELIABILITY_PLOT = "pictures/trust_reliability.svg"
"""The drawn reliability plot, relative to the page."""


def render_trust_blocks(figures: Figures, profile: TrustProfile) -> dict[str, str]:
    """Return the tables by name: `summary` for the model card, the others for the chapters of `docs/trust.md`.

    Args:
        figures: figures from `compute_trust_figures`.
        profile: the profile, for the statement about coverage.
    """
    return {
        "summary": _render_summary(figures, profile),
        "expected-dice": _render_expected_dice(figures),
        "grades": _render_grades(figures),
        "grade-limits": _render_grade_limits(figures),
        "by-group": _render_by_group(figures),
        "volume": _render_volume(figures, profile),
        "advice": _render_advice(figures),
        "importance": _render_by_region("Spearman of", figures["importance"], _IMPORTANCE),
        "calibration": _render_by_region("class-wise ECE, %", figures["class_ece"], _CLASS_ECE),
        "order": _render_order(figures),
        "reliability-plot": f"![Expected against true Dice by region]({RELIABILITY_PLOT})",
    }


def _count(*path: str) -> Cell:
    return lambda row: str(_look_up(row, path))


def _format_number(*path: str) -> Cell:
    return lambda row: format_figure(_look_up(row, path))


def _format_points(*path: str) -> Cell:
    return lambda row: format_figure(_look_up(row, path), 1, scale=100)


def _combine_cells(text: str, *cells: Cell) -> Cell:
    return lambda row: text.format(*(cell(row) for cell in cells))


def _look_up(row: Figures, path: Sequence[str]) -> Any:
    return reduce(lambda inner, key: inner[key], path, row)


_SEGMENTATIONS = {"segmentations": _count("segmentations")}
_FAILURES = {**_SEGMENTATIONS, "Dice below 0.5": _count("failures")}
_SUMMARY = {
    "Spearman of expected and true Dice": _format_number("estimate", "spearman"),
    "AUROC for Dice below 0.5": _format_number("estimate", "auroc_failure"),
    "mean absolute error, points": _format_points("calibrated", "mean_absolute_error"),
    "coverage of the Dice interval, %": _format_points("interval", "coverage"),
    "coverage of the volume interval, %": _format_points("volume_all", "coverage"),
    **{
        f"true Dice where graded {grade.value}, %": _combine_cells(
            "{} ({})",
            _format_points("grades", grade.value, "mean_dice"),
            _count("grades", grade.value, "segmentations"),
        )
        for grade in Grade
    },
}
_IMPORTANCE = {
    "gate weight and confidence of the sequence alone": _format_number("gate_weight_and_unimodal_confidence"),
    "gate weight and Dice of the sequence alone": _format_number("gate_weight_and_unimodal_dice"),
    "gate weight and Dice lost without the sequence": _format_number("gate_weight_and_dice_lost"),
    "change of the volume and Dice lost without the sequence": _format_number("leave_one_out_and_dice_lost"),
}
_CLASS_ECE = {
    "before temperatures": _format_points("before_temperatures"),
    "after temperatures": _format_points("after_temperatures"),
}
_ORDER = {"any loss": _format_points("rate"), "loss of more than 1 point": _format_points("rate_tolerance_1_point")}
_WAYS = {
    "mean Dice of the model card for these sequences": ("mean_of_subset", "mean_of_subset"),
    "estimate from the probabilities": ("estimate", "estimate"),
    "calibrated estimate": ("calibrated", "estimate"),
}
"""Estimate of the Dice -> its figures, and the figures of its ranking, which calibration does not change."""


def _render_summary(figures: Figures, profile: TrustProfile) -> str:
    by_region = {
        region.value: {**figures["expected_dice"][region.value], "volume_all": figures["volume_all"][region.value]}
        for region in REGIONS
    }
    return "\n\n".join(
        [
            _describe_cases(figures),
            _render_by_region("expected Dice of a case", by_region, _SUMMARY),
            describe_coverage(profile),
        ]
    )


def _describe_cases(figures: Figures) -> str:
    return (
        f"{figures['cases']} cases with every subset of their sequences. Each case is predicted by a profile fitted "
        "to the other cases."
    )


def _render_expected_dice(figures: Figures) -> str:
    expected = figures["expected_dice"]
    rows = (
        ([name, region.value.upper()], {**region_figures, "way": region_figures[way], "ranked": region_figures[ranked]})
        for name, (way, ranked) in _WAYS.items()
        for region in REGIONS
        if (region_figures := expected[region.value])
    )
    columns = {
        **_FAILURES,
        "Spearman": _format_number("ranked", "spearman"),
        "AUROC of failure": _format_number("ranked", "auroc_failure"),
        "mean error, points": _format_points("way", "mean_absolute_error"),
    }
    point = _combine_cells("{} / {}", _format_points("expected"), _format_points("true"))
    plot = [[region.value.upper(), *map(point, expected[region.value]["plot"])] for region in REGIONS]
    plot = [row for row in plot if len(row) > 1]
    bins = max((len(row) - 1 for row in plot), default=0)
    head = ["expected / true Dice, %", *(f"fifth {index + 1}" for index in range(bins))]
    filled = [row + [""] * (bins + 1 - len(row)) for row in plot]
    return "\n\n".join(
        [_describe_cases(figures), _render_by_row(["prediction", "region"], rows, columns), format_table(head, filled)]
    )


def _render_grades(figures: Figures) -> str:
    rows = (
        ([region.value.upper(), grade.value], figures["expected_dice"][region.value]["grades"][grade.value])
        for region in REGIONS
        for grade in Grade
    )
    columns = {
        **_SEGMENTATIONS,
        "share, %": _format_points("share"),
        "mean true Dice, %": _format_points("mean_dice"),
        "of these below 0.5": _count("failures"),
    }
    return _render_by_row(["region", "grade"], rows, columns)


def _render_grade_limits(figures: Figures) -> str:
    rows = (
        ([region.value.upper(), format_figure(row["limit"])], row)
        for region in REGIONS
        for row in figures["expected_dice"][region.value]["limits"]
    )
    columns = {
        "unreliable": _count("unreliable"),
        "of these, Dice below 0.5": _count("failures"),
        "all with a Dice below 0.5": _count("all_failures"),
    }
    return _render_by_row(["region", "review from"], rows, columns)


def _render_by_group(figures: Figures) -> str:
    columns = {
        **_FAILURES,
        "Spearman": _format_number("estimate", "spearman"),
        "AUROC of failure": _format_number("estimate", "auroc_failure"),
        "mean error, points": _format_points("calibrated", "mean_absolute_error"),
        "interval holds, %": _format_points("interval", "coverage"),
    }
    return _render_by_row(["sequences", "region"], _list_groups(figures["expected_dice_by_group"]), columns)


def _render_volume(figures: Figures, profile: TrustProfile) -> str:
    columns = {
        **_SEGMENTATIONS,
        "interval holds, %": _combine_cells("{} ± {}", _format_points("coverage"), _format_points("standard_error")),
        "times or divided by": _format_number("median_factor"),
    }
    rows = _list_groups(figures["volume"])
    return f"{describe_coverage(profile)}\n\n{_render_by_row(['sequences', 'region'], rows, columns)}"


def _render_advice(figures: Figures) -> str:
    rows = (
        (
            [region.value.upper(), "chosen for the bundle" if kind == FITTED else kind],
            figures["advice"][region.value][kind],
        )
        for region in REGIONS
        for kind in (*KINDS, FITTED)
    )
    columns = {
        "choices": _count("choices"),
        "best named, %": _format_points("right"),
        "by chance, %": _format_points("chance"),
        "Dice lost, points": _format_points("mean_dice_lost"),
        "error of gain, points": _format_points("mean_absolute_error"),
    }
    return _render_by_row(["region", "gain from"], rows, columns)


def _list_groups(figures: Figures) -> Iterable[tuple[list[str], Figures]]:
    return (
        ([group.label, region.value.upper()], figures[group.value][region.value])
        for group in SequenceGroup
        for region in REGIONS
    )


def _render_order(figures: Figures) -> str:
    rows = _render_by_region("counter-intuitive rate, %", figures["counterintuitive"], _ORDER)
    rates = _combine_cells("{} / {}", _format_points("rate"), _format_points("rate_tolerance_1_point"))
    choices = []
    for margin in figures["fewer_sequences"]["wt"]:
        region_orders = [figures["fewer_sequences"][region.value][margin] for region in REGIONS]
        name = "never" if math.isinf(float(margin)) else f"from a lead of {100 * float(margin):.0f} points"
        choices.append([name, *map(rates, region_orders), *map(_format_points("mean_dice"), region_orders)])
    names = [region.value.upper() for region in REGIONS]
    head = [
        "fewer sequences used",
        *(f"{name} rate, 0 / 1 point" for name in names),
        *(f"{name} Dice" for name in names),
    ]
    return f"{rows}\n\n{format_table(head, choices)}"


def _render_by_row(
    labels: Sequence[str], rows: Iterable[tuple[list[str], Figures]], columns: Mapping[str, Cell]
) -> str:
    """Return a table with a row per set of figures and a column per cell function."""
    lines = [[*names, *(cell(row) for cell in columns.values())] for names, row in rows]
    return format_table([*labels, *columns], lines)


def _render_by_region(corner: str, figures: Figures, rows: Mapping[str, Cell]) -> str:
    """Return a table with a row per cell function and a column per region."""
    lines = [[name, *(cell(figures[region.value]) for region in REGIONS)] for name, cell in rows.items()]
    return format_table([corner, *(region.value.upper() for region in REGIONS)], lines)
