"""Assessment of a segmentation: expected Dice, grade, intervals, and advice."""

from dataclasses import replace

import numpy as np
import pytest

from brats_mm.domain.availability import ALL_AVAILABLE
from brats_mm.domain.case import Case
from brats_mm.domain.expected import DiceOverCases, ExpectedDice
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import NO_IMPORTANCE, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Grid, Volume
from brats_mm.trust.assess import advice, assess, case_warnings, coverage_statement
from brats_mm.trust.case_dice import Grade
from brats_mm.trust.fit import fit_profile
from brats_mm.trust.no_tumour import NO_TUMOUR
from tests.fakes.trust_records import made_records

PROFILE = fit_profile(made_records())
GRID = Grid((20, 20, 20), np.eye(4))
T1_FLAIR = frozenset({Modality.T1, Modality.FLAIR})


def prediction_of(probability: float, *, profile=PROFILE, expected=None, available=T1_FLAIR) -> Prediction:
    """A cube of 1 uL voxels with one probability everywhere, in each region."""
    values = np.zeros(GRID.shape, np.float32)
    values[:10, :10, :10] = probability
    volumes = {modality: Volume(np.ones(GRID.shape, np.float32), GRID) for modality in available}
    model = ModelIdentity("made", "1", "0" * 64, 1, expected=expected, trust=profile)
    run = Run("cpu", "fake", (64, 64, 64), 1, {})
    return Prediction(Case("made", volumes, GRID), dict.fromkeys(REGIONS, values), NO_IMPORTANCE, model, run)


def test_input_warnings_precede_no_tumour_warning():
    prediction = replace(prediction_of(0.5), warnings=("T1 looks like a mask.",))
    assert case_warnings(prediction, assess(prediction))[:2] == ("T1 looks like a mask.", NO_TUMOUR)
    assert NO_TUMOUR not in case_warnings(prediction_of(0.6), assess(prediction_of(0.6)))
    unfitted = prediction_of(0.5, profile=None)
    assert NO_TUMOUR not in case_warnings(unfitted, assess(unfitted)), "measured with the weights of the profile"


def test_profile_calibrates_estimate_and_adds_intervals():
    region = assess(prediction_of(0.6)).regions[Region.WT]
    assert region.estimate == pytest.approx(0.75)
    assert region.expected_dice == pytest.approx(0.65, abs=0.02)
    assert region.dice_interval[0] < region.expected_dice < region.dice_interval[1]
    assert region.grade is Grade.REVIEW
    low, high = region.volume_interval_ml
    assert low < 1.0 < high


def test_without_profile_there_is_only_the_estimate():
    region = assess(prediction_of(0.6, profile=None)).regions[Region.WT]
    assert region.expected_dice == region.estimate == pytest.approx(0.75)
    assert (region.dice_interval, region.volume_interval_ml) == (None, None)


def test_empty_region_has_no_grade():
    region = assess(prediction_of(0.1)).regions[Region.ET]
    assert (region.estimate, region.expected_dice, region.grade) == (None, None, None)


def test_most_helpful_sequence_is_first_and_in_advice():
    gains = assess(prediction_of(0.6)).gains
    assert [gain.sequence for gain in gains] == [Modality.T1CE, Modality.T2]
    sentence = advice(gains)
    assert sentence.startswith("Adding T1ce would raise the expected Dice of the ")
    assert all(region.label in sentence for region in REGIONS)


def test_without_profile_advice_uses_model_card():
    dice = {
        subset: dict.fromkeys(REGIONS, DiceOverCases(mean, 0.1))
        for subset, mean in ((T1_FLAIR, 0.5), (T1_FLAIR | {Modality.T1CE}, 0.7), (T1_FLAIR | {Modality.T2}, 0.505))
    }
    gains = assess(prediction_of(0.6, profile=None, expected=ExpectedDice(10, dice))).gains
    assert gains[0].after[Region.TC] == pytest.approx(0.7)
    assert advice(gains[1:]) == "No missing sequence is expected to raise the Dice by 2 points or more."


def test_no_advice_without_absent_sequences_or_figures():
    assert advice(assess(prediction_of(0.6, available=ALL_AVAILABLE)).gains) is None
    assert assess(prediction_of(0.6, profile=None)).gains == ()


def test_advice_states_small_number_of_cases():
    assert "only 12 labelled cases" in coverage_statement(PROFILE)
    assert "too few" in coverage_statement(fit_profile(made_records(5)))
    many = coverage_statement(replace(PROFILE, cases=200, coverage_floor=0.87))
    assert "only" not in many
