"""Render the tables of a model card, between two markers in a bundle's `docs/README.md`."""

from collections.abc import Mapping, Sequence
from typing import Any

from brats_mm.domain.availability import Availability, describe, subset_name
from brats_mm.domain.regions import Region
from brats_mm.evaluation.published import PAPER_ORDER

CARD = "docs/README.md"
BEGIN = "<!-- figures: `brats-mm bundle card` writes the tables between these markers -->"
END = "<!-- end of figures -->"

_ORDER = (Region.ET, Region.TC, Region.WT)
_MEANS = {
    "all_sets": "mean of the 15",
    "full_set": "all four",
    "single_sequences": "mean of the single sequences",
    "with_t1ce": "mean of the 8 with T1ce",
    "without_t1ce": "mean of the 7 without T1ce",
}
_MEASURES = {
    "class_ece": "class-wise expected calibration error, %",
    "ece": "expected calibration error, %",
    "sensitivity": "sensitivity, %",
    "precision": "precision, %",
    "lesion_dice": "lesion-wise Dice, %",
    "error_auroc": "AUROC of entropy for errors, %",
    "qu_brats": "QU-BraTS score, %",
}
_WORSE = {
    "rate": "counter-intuitive rate over the 50 nested pairs, %",
    "rate_tolerance_1_point": "the same, counting losses of more than 1 point, %",
}


def figures_of(evaluation: Mapping[str, Any]) -> str:
    """Render the content of an evaluation's `summary.json` as two Markdown tables."""
    head = "| available | ET | ET, 500-voxel rule | TC | WT | HD95 WT, mm |\n|---|---:|---:|---:|---:|---:|"
    sets = [_row(describe(subset), *_of_set(evaluation, subset)) for subset in PAPER_ORDER]
    means = [_row(f"**{name}**", *_of_mean(evaluation, key)) for key, name in _MEANS.items()]
    measures = evaluation["means"]["raw"]["all_sets"]
    rows = [
        _row(name, *(_percent(measures[region.value][key]) for region in _ORDER)) for key, name in _MEASURES.items()
    ]
    worse = evaluation["counterintuitive"]["raw"]
    rows += [_row(name, *(_percent(worse[region.value].get(key)) for region in _ORDER)) for key, name in _WORSE.items()]
    second = "| measure (mean over the 15 subsets) | ET | TC | WT |\n|---|---:|---:|---:|"
    return "\n".join([head, *sets, *means]) + "\n\n" + "\n".join([second, *rows])


def with_figures(card: str, figures: str) -> str:
    """Replace the figures between the card's markers. Append a section if the card has no markers."""
    block = f"{BEGIN}\n{figures}\n{END}"
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return f"{card.rstrip()}\n\n## Figures\n\n{block}\n" if card.strip() else f"# Model card\n\n{block}\n"
    return before + block + after


def _of_set(evaluation: Mapping[str, Any], subset: Availability) -> Sequence[str]:
    scores = evaluation["sets"].get(subset_name(subset))
    if not scores:
        return ("-",) * 5
    raw, ruled = scores["raw"], scores["et500"]
    dice = [one["dice"]["mean"] for one in (raw["et"], ruled["et"], raw["tc"], raw["wt"])]
    return [*map(_percent, dice), _number(raw["wt"]["hd95_mm"]["mean"])]


def _of_mean(evaluation: Mapping[str, Any], key: str) -> Sequence[str]:
    raw, ruled = evaluation["means"]["raw"][key], evaluation["means"]["et500"][key]
    dice = [one["dice"] for one in (raw["et"], ruled["et"], raw["tc"], raw["wt"])]
    return [*map(_percent, dice), _number(raw["wt"]["hd95_mm"])]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value)


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.1f}"  # noqa: PLR0124 (NaN)
