"""Render the tables of a model card, between two markers in a bundle's `docs/README.md`."""

from collections.abc import Mapping, Sequence
from typing import Any

from brats_mm.domain.availability import Availability, describe, subset_name
from brats_mm.evaluation.published import PAPER_ORDER, REGION_ORDER
from brats_mm.outputs.markdown import NOTHING, figure, table

CARD = "docs/README.md"
BEGIN = "<!-- figures: `brats-mm bundle card` writes the tables between these markers -->"
END = "<!-- end of figures -->"

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
    sets = [[describe(subset), *_of_set(evaluation, subset)] for subset in PAPER_ORDER]
    means = [[f"**{name}**", *_of_mean(evaluation, key)] for key, name in _MEANS.items()]
    measures, worse = evaluation["means"]["raw"]["all_sets"], evaluation["counterintuitive"]["raw"]
    rows = [
        [name, *(_percent(figures[region.value].get(key)) for region in REGION_ORDER)]
        for names, figures in ((_MEASURES, measures), (_WORSE, worse))
        for key, name in names.items()
    ]
    dice = table(["available", "ET", "ET, 500-voxel rule", "TC", "WT", "HD95 WT, mm"], [*sets, *means])
    return dice + "\n\n" + table(["measure (mean over the 15 subsets)", "ET", "TC", "WT"], rows)


def with_figures(card: str, figures: str) -> str:
    """Replace the figures between the card's markers. Append a section if the card has no markers."""
    block = f"{BEGIN}\n{figures}\n{END}"
    before, begin, remainder = card.partition(BEGIN)
    _, end, after = remainder.partition(END)
    if not begin or not end:
        return f"{card.rstrip()}\n\n## Figures\n\n{block}\n" if card.strip() else f"# Model card\n\n{block}\n"
    return before + block + after


def _of_set(evaluation: Mapping[str, Any], subset: Availability) -> Sequence[str]:
    scores = evaluation["sets"].get(subset_name(subset))
    if not scores:
        return (NOTHING,) * 5
    raw, ruled = scores["raw"], scores["et500"]
    dice = [set_scores["dice"]["mean"] for set_scores in (raw["et"], ruled["et"], raw["tc"], raw["wt"])]
    return [*map(_percent, dice), figure(raw["wt"]["hd95_mm"]["mean"], 1)]


def _of_mean(evaluation: Mapping[str, Any], key: str) -> Sequence[str]:
    raw, ruled = evaluation["means"]["raw"][key], evaluation["means"]["et500"][key]
    dice = [scores["dice"] for scores in (raw["et"], ruled["et"], raw["tc"], raw["wt"])]
    return [*map(_percent, dice), figure(raw["wt"]["hd95_mm"], 1)]


def _percent(value: float | None) -> str:
    return figure(value, 1, scale=100)
