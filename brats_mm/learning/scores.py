"""Scores of a prediction against a corrected label: Dice, HD95 and volumes of the three regions."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from brats_mm.domain.label_map import Labels, extract_regions
from brats_mm.domain.regions import REGIONS, LabelConvention
from brats_mm.domain.volume import Grid
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.overlap import compute_overlap, count
from brats_mm.metrics.surface import compute_surface_hd95, find_surface_points

DIGITS = 4

Scores = Mapping[str, Mapping[str, float | None]]
"""Region -> score -> value. None if the score is undefined."""


def score_prediction(predicted: Labels, corrected: Labels, grid: Grid) -> dict[str, dict[str, float | None]]:
    """Compare two label maps with BraTS 2023 values.

    Args:
        predicted: label map of the model.
        corrected: label map of the person.
        grid: grid of both.

    Returns:
        Region -> `dice`, `hd95_mm`, `predicted_ml` and `corrected_ml`. A region that is empty in both has a Dice of 1,
        and one that is empty in only one of them has a Dice of 0 (BraTS).
    """
    predicted_masks = extract_regions(predicted, LabelConvention.BRATS2023)
    corrected_masks = extract_regions(corrected, LabelConvention.BRATS2023)
    scores = {}
    for region in REGIONS:
        counts = count(predicted_masks[region], corrected_masks[region])
        surfaces = (
            find_surface_points(predicted_masks[region], grid.spacing_mm),
            find_surface_points(corrected_masks[region], grid.spacing_mm),
        )
        scores[region.value] = {
            "dice": _round(compute_overlap(counts, EmptyPolicy.BRATS).dice),
            "hd95_mm": _round(compute_surface_hd95(*surfaces, EmptyPolicy.BRATS)),
            "predicted_ml": _round(counts.predicted * grid.voxel_ml),
            "corrected_ml": _round(counts.reference * grid.voxel_ml),
        }
    return scores


def compute_mean_scores(scores: Iterable[Scores]) -> dict[str, dict[str, float | None]]:
    """Return the mean of each score over cases. Undefined scores are omitted."""
    every = list(scores)
    names = ("dice", "hd95_mm", "predicted_ml", "corrected_ml")
    return {
        region.value: {name: _compute_mean(case[region.value][name] for case in every) for name in names}
        for region in REGIONS
    }


def compute_mean_dice(scores: Scores) -> float | None:
    """Return the mean Dice over the regions of scores, or of mean scores."""
    return _compute_mean(scores[region.value]["dice"] for region in REGIONS)


def summarise_by_version(scored: Iterable[tuple[str, Scores]]) -> list[dict[str, Any]]:
    """Return mean scores by model version, in the order in which the versions first appear.

    Args:
        scored: pairs of the version and the scores of a prediction.
    """
    by_version: dict[str, list[Scores]] = {}
    for version, scores in scored:
        by_version.setdefault(version, []).append(scores)
    return [
        {"version": version, "cases": len(scores), "scores": compute_mean_scores(scores)}
        for version, scores in by_version.items()
    ]


def _compute_mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return round(sum(defined) / len(defined), DIGITS) if defined else None


def _round(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)
