"""Changes of a segmentation when a sequence is left out."""

import numpy as np
import pytest

from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import NO_IMPORTANCE, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Grid, Volume
from brats_mm.trust.leave_one_out import compare_left_out

GRID = Grid((10, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0]))


def prediction_of(slices: int, probability: float = 0.9) -> Prediction:
    """Return a prediction whose regions fill some slices of 100 voxels of 8 mm3."""
    values = np.zeros(GRID.shape, np.float32)
    values[:slices] = probability
    case = Case("x", {Modality.T1: Volume(np.ones(GRID.shape, np.float32), GRID)}, GRID)
    run = Run("cpu", "fake", (64, 64, 64), 1, {})
    return Prediction(case, dict.fromkeys(REGIONS, values), NO_IMPORTANCE, ModelIdentity("m", "1", "0", 1), run)


def test_region_that_shrinks_without_sequence_depends_on_it():
    changes = compare_left_out(prediction_of(4), {Modality.T1CE: prediction_of(2)})
    change = changes[Modality.T1CE][Region.WT]
    assert change.volume_ml == pytest.approx(-200 * 0.008)
    assert change.dice == pytest.approx(2 * 2 / (4 + 2))
    assert change.probability == pytest.approx(0.9 / 2)


def test_sequence_without_effect_has_no_change():
    change = compare_left_out(prediction_of(4), {Modality.T2: prediction_of(4)})[Modality.T2][Region.ET]
    assert (change.volume_ml, change.dice, change.probability) == (0.0, 1.0, 0.0)


def test_probabilities_may_change_without_outline_change():
    change = compare_left_out(prediction_of(4), {Modality.T2: prediction_of(4, 0.6)})[Modality.T2][Region.ET]
    assert change.dice == 1
    assert change.probability == pytest.approx(0.3)


def test_two_empty_regions_agree():
    change = compare_left_out(prediction_of(0), {Modality.T2: prediction_of(0)})[Modality.T2][Region.ET]
    assert (change.volume_ml, change.dice, change.probability) == (0.0, 1.0, 0.0)
