"""Changes of a segmentation when each of its sequences is left out."""

from collections.abc import Mapping

import numpy as np

from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import LeftOutChange, Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.trust.case_dice import NEGLIGIBLE

MEANING = (
    "Change when a sequence is left out: volume without it minus volume with it, the Dice of the two outlines (1 if "
    "both are empty), and the mean absolute change of the probability over the voxels where either is at least 0.001. "
    "A large change means that the result depends on the sequence, not that the sequence is right."
)


def compare_left_out(
    prediction: Prediction, without: Mapping[Modality, Prediction]
) -> dict[Modality, dict[Region, LeftOutChange]]:
    """Compare a prediction with predictions that lack one of its sequences each.

    Args:
        prediction: prediction from all sequences of the case.
        without: left-out sequence -> prediction from the others, on the same grid.
    """
    return {
        modality: {region: _measure_change(prediction, reduced, region) for region in REGIONS}
        for modality, reduced in without.items()
    }


def _measure_change(prediction: Prediction, reduced: Prediction, region: Region) -> LeftOutChange:
    before, after = prediction.mask(region), reduced.mask(region)
    total = np.count_nonzero(before) + np.count_nonzero(after)
    p, q = prediction.probabilities[region], reduced.probabilities[region]
    likely = (p >= NEGLIGIBLE) | (q >= NEGLIGIBLE)
    return LeftOutChange(
        volume_ml=reduced.volume_ml(region) - prediction.volume_ml(region),
        dice=2 * np.count_nonzero(before & after) / total if total else 1.0,
        probability=float(np.abs(p[likely] - q[likely]).mean(dtype=np.float64)) if likely.any() else 0.0,
    )
