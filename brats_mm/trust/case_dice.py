"""Estimate the Dice of this case from its own calibrated probabilities, and grade it.

If the probability of each voxel is the chance that it belongs to the region, a segmentation of n voxels overlaps the
truth in `sum(p inside)` voxels on average, and the truth has `sum(p)` voxels. Hence the estimate
`2 sum(p inside) / (n + sum(p))`, the ratio of the expected numerator and denominator of Dice.
"""

from collections.abc import Mapping
from enum import Enum

import numpy as np
import numpy.typing as npt

from brats_mm.domain.display import format_percent
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import LightRecord
from brats_mm.domain.volume import Array

RELIABLE_FROM = 0.75
REVIEW_FROM = 0.5
"""Thresholds of the grades. `docs/trust.md` reports their accuracy on the validation cases."""

NEGLIGIBLE = 1e-3
"""Probabilities below this are ignored, because they would add up over a million background voxels."""

MEANING = (
    "estimated_dice: Dice of this outline estimated from the model's probabilities, 0 to 1: 2 sum(p inside) / "
    "(voxels inside + sum(p)). Errors that the model is confident about do not lower it. expected_dice: the estimate "
    "after calibration on labelled cases, if the bundle has a calibration. reliability: grade of the expected Dice, "
    f"reliable from {RELIABLE_FROM}, review from {REVIEW_FROM}, else unreliable."
)


class Grade(str, Enum):
    """Trustworthiness of a region's outline in this case."""

    RELIABLE = "reliable"
    REVIEW = "review"
    UNRELIABLE = "unreliable"


def estimate_dice(probability: Array, inside: npt.NDArray[np.bool_]) -> float | None:
    """Estimate the Dice of a segmentation, or return None if it is empty.

    Args:
        probability: probability of the region, 0 to 1, any shape.
        inside: segmentation of the same shape.
    """
    voxels = int(np.count_nonzero(inside))
    if voxels == 0:
        return None
    overlap = float(probability[inside].sum(dtype=np.float64))
    return 2 * overlap / (voxels + compute_expected_voxels(probability))


def compute_expected_voxels(probability: Array) -> float:
    """Return the expected number of voxels of the region: the sum of all non-negligible probabilities.

    Args:
        probability: probability of the region, 0 to 1, any shape.
    """
    return float(probability[probability >= NEGLIGIBLE].sum(dtype=np.float64))


def choose_grade(estimate: float) -> Grade:
    """Return the grade of an estimate.

    Args:
        estimate: expected Dice, 0 to 1.
    """
    if estimate >= RELIABLE_FROM:
        return Grade.RELIABLE
    return Grade.REVIEW if estimate >= REVIEW_FROM else Grade.UNRELIABLE


def collect_estimates(prediction: Prediction) -> dict[Region, float | None]:
    """Return the estimate for each region of a prediction."""
    return {region: estimate_dice(prediction.probabilities[region], prediction.mask(region)) for region in REGIONS}


def advise_on_outline(
    grade: Grade, interval: tuple[float, float] | None = None, record: LightRecord | None = None
) -> str:
    """Return what to do with an outline, for readers who do not know the thresholds.

    Args:
        grade: grade of the outline.
        interval: interval of its expected Dice, if known.
        record: how often this grade was wrong for the region, if known.
    """
    action = _choose_action(grade, interval)
    if record is None:
        return action
    return f"{action}. Of {record.outlines} such outlines, {record.poor} had a Dice below {100 * REVIEW_FROM:.0f} %"


def _choose_action(grade: Grade, interval: tuple[float, float] | None) -> str:
    if grade is Grade.UNRELIABLE:
        return "do not use it without correction"
    if grade is Grade.REVIEW:
        return "compare it with the images before use"
    can_be_poor = interval is not None and interval[0] < REVIEW_FROM
    return "usually good, but can be poor: check it" if can_be_poor else "usually good"


def find_reliability_warnings(expected: Mapping[Region, float | None]) -> tuple[str, ...]:
    """Return one sentence for each region that is graded unreliable.

    Args:
        expected: region -> expected Dice, 0 to 1. None if nothing was segmented.
    """
    return tuple(
        f"The outline of the {region.label} is unreliable in this case: its expected Dice is {format_percent(dice)}. "
        "Do not use it without correction."
        for region, dice in expected.items()
        if dice is not None and choose_grade(dice) is Grade.UNRELIABLE
    )
