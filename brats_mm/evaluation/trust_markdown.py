"""Tables in Markdown of how well a trust profile works."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from brats_mm.domain.regions import REGIONS
from brats_mm.domain.trust_profile import SequenceGroup, TrustProfile
from brats_mm.trust.assess import coverage_statement
from brats_mm.trust.case_dice import Grade
from brats_mm.trust.gains import KINDS
from brats_mm.trust.left_out import FITTED

Figures = Mapping[str, Any]

RELIABILITY_PLOT = "pictures/trust_reliability.svg"
"""The drawn reliability plot, relative to the page."""


def trust_blocks(figures: Figures, profile: TrustProfile) -> dict[str, str]:
    """Return the tables by name: `summary` for the model card, the others for the chapters of `docs/trust.md`."""
    return {
        "summary": _summary(figures, profile),
        "expected-dice": _expected_dice(figures),
        "grades": _grades(figures),
        "by-group": _by_group(figures),
        "volume": _volume(figures, profile),
        "advice": _advice(figures),
        "importance": _importance(figures),
        "calibration": _calibration(figures),
        "order": _order(figures),
        "reliability-plot": f"![Expected against true Dice by region]({RELIABILITY_PLOT})",
    }


def _summary(figures: Figures, profile: TrustProfile) -> str:
    rows = [
        ["Spearman of expected and true Dice", *_each(figures, lambda one: _two(one["estimate"]["spearman"]))],
        [
            "AUROC for Dice below 0.5",
            *_each(figures, lambda one: _two(one["estimate"]["auroc_failure"])),
        ],
        ["mean absolute error, points", *_each(figures, lambda one: _points(one["calibrated"]["mean_absolute_error"]))],
        ["coverage of the Dice interval, %", *_each(figures, lambda one: _points(one["interval"]["coverage"]))],
        [
            "coverage of the volume interval, %",
            *(_points(figures["volume_all"][region.value]["coverage"]) for region in REGIONS),
        ],
        *[
            [f"true Dice where graded {grade.value}, %", *_each(figures, lambda one, g=grade: _graded(one, g))]
            for grade in Grade
        ],
    ]
    return "\n\n".join(
        [_cases(figures), _table(["expected Dice of a case", *_names()], rows), coverage_statement(profile)]
    )


def _cases(figures: Figures) -> str:
    return (
        f"{figures['cases']} cases with every subset of their sequences. Each case is predicted with what was fitted "
        "to the other cases."
    )


def _expected_dice(figures: Figures) -> str:
    rows = []
    ways = {
        "mean_of_subset": "mean Dice of the model card for these sequences",
        "estimate": "estimate from the probabilities",
        "calibrated": "calibrated estimate",
    }
    for way, name in ways.items():
        for region in REGIONS:
            own = figures["expected_dice"][region.value]
            one, ranked = own[way], own["estimate" if way == "calibrated" else way]
            rows.append(
                [
                    name,
                    region.value.upper(),
                    str(own["segmentations"]),
                    str(own["failures"]),
                    _two(ranked["spearman"]),
                    _two(ranked["auroc_failure"]),
                    _points(one["mean_absolute_error"]),
                ]
            )
    head = [
        "prediction",
        "region",
        "segmentations",
        "Dice below 0.5",
        "Spearman",
        "AUROC of failure",
        "mean error, points",
    ]
    plot = [
        [region.value.upper(), *(f"{_points(one['expected'])} / {_points(one['true'])}" for one in own["plot"])]
        for region in REGIONS
        if (own := figures["expected_dice"][region.value])["plot"]
    ]
    bins = max((len(row) - 1 for row in plot), default=0)
    columns = ["expected / true Dice, %", *(f"fifth {index + 1}" for index in range(bins))]
    filled = [row + [""] * (bins + 1 - len(row)) for row in plot]
    return "\n\n".join([_cases(figures), _table(head, rows), _table(columns, filled)])


def _grades(figures: Figures) -> str:
    rows = []
    for region in REGIONS:
        for grade in Grade:
            one = figures["expected_dice"][region.value]["grades"][grade.value]
            rows.append(
                [
                    region.value.upper(),
                    grade.value,
                    str(one["segmentations"]),
                    _points(one["share"]),
                    _points(one["mean_dice"]),
                    str(one["failures"]),
                ]
            )
    return _table(["region", "grade", "segmentations", "share, %", "mean true Dice, %", "of these below 0.5"], rows)


def _by_group(figures: Figures) -> str:
    rows = []
    for group in SequenceGroup:
        for region in REGIONS:
            one = figures["expected_dice_by_group"][group.value][region.value]
            rows.append(
                [
                    group.label,
                    region.value.upper(),
                    str(one["segmentations"]),
                    str(one["failures"]),
                    _two(one["estimate"]["spearman"]),
                    _two(one["estimate"]["auroc_failure"]),
                    _points(one["calibrated"]["mean_absolute_error"]),
                    _points(one["interval"]["coverage"]),
                ]
            )
    head = [
        "sequences",
        "region",
        "segmentations",
        "Dice below 0.5",
        "Spearman",
        "AUROC of failure",
        "mean error, points",
    ]
    return _table([*head, "interval holds, %"], rows)


def _volume(figures: Figures, profile: TrustProfile) -> str:
    rows = []
    for group in SequenceGroup:
        for region in REGIONS:
            one = figures["volume"][group.value][region.value]
            rows.append(
                [
                    group.label,
                    region.value.upper(),
                    str(one["segmentations"]),
                    f"{_points(one['coverage'])} ± {_points(one['standard_error'])}",
                    _two(one["median_factor"]),
                ]
            )
    head = ["sequences", "region", "segmentations", "interval holds, %", "times or divided by"]
    return f"{coverage_statement(profile)}\n\n{_table(head, rows)}"


def _advice(figures: Figures) -> str:
    rows = []
    for region in REGIONS:
        for kind in (*KINDS, FITTED):
            one = figures["advice"][region.value][kind]
            rows.append(
                [
                    region.value.upper(),
                    "chosen for the bundle" if kind == FITTED else kind,
                    str(one["choices"]),
                    _points(one["right"]),
                    _points(one["chance"]),
                    _points(one["mean_dice_lost"]),
                    _points(one["mean_absolute_error"]),
                ]
            )
    head = [
        "region",
        "gain from",
        "choices",
        "best named, %",
        "by chance, %",
        "Dice lost, points",
        "error of gain, points",
    ]
    return _table(head, rows)


def _importance(figures: Figures) -> str:
    names = {
        "gate_weight_and_unimodal_confidence": "gate weight and confidence of the sequence alone",
        "gate_weight_and_unimodal_dice": "gate weight and Dice of the sequence alone",
        "gate_weight_and_dice_lost": "gate weight and Dice lost without the sequence",
        "leave_one_out_and_dice_lost": "change of the volume and Dice lost without the sequence",
    }
    rows = [
        [name, *(_two(figures["importance"][region.value][key]) for region in REGIONS)] for key, name in names.items()
    ]
    return _table(["Spearman of", *_names()], rows)


def _calibration(figures: Figures) -> str:
    names = {"before_temperatures": "before temperatures", "after_temperatures": "after temperatures"}
    rows = [
        [name, *(_points(figures["class_ece"][region.value][key]) for region in REGIONS)] for key, name in names.items()
    ]
    return _table(["class-wise ECE, %", *_names()], rows)


def _order(figures: Figures) -> str:
    names = {"rate": "any loss", "rate_tolerance_1_point": "loss of more than 1 point"}
    rows = [
        [name, *(_points(figures["counterintuitive"][region.value][key]) for region in REGIONS)]
        for key, name in names.items()
    ]
    plain = _table(["counter-intuitive rate, %", *_names()], rows)
    chosen = []
    for margin in figures["fewer_sequences"]["wt"]:
        own = [figures["fewer_sequences"][region.value][margin] for region in REGIONS]
        name = "never" if math.isinf(float(margin)) else f"from a lead of {100 * float(margin):.0f} points"
        cells = [f"{_points(one['rate'])} / {_points(one['rate_tolerance_1_point'])}" for one in own]
        chosen.append([name, *cells, *(_points(one["mean_dice"]) for one in own)])
    head = ["fewer sequences used", *(f"{name} rate, 0 / 1 point" for name in _names())]
    return f"{plain}\n\n{_table([*head, *(f'{name} Dice' for name in _names())], chosen)}"


def _names() -> list[str]:
    return [region.value.upper() for region in REGIONS]


def _each(figures: Figures, cell: Any) -> list[str]:
    return [cell(figures["expected_dice"][region.value]) for region in REGIONS]


def _graded(one: Mapping[str, Any], grade: Grade) -> str:
    row = one["grades"][grade.value]
    return f"{_points(row['mean_dice'])} ({row['segmentations']})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([_line(head), rule, *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _two(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def _points(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f}"
