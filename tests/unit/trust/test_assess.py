"""Assessment of a segmentation: expected Dice, grade, intervals, and advice."""

from dataclasses import replace

import numpy as np
import pytest

from brats_mm.domain.availability import ALL_AVAILABLE
from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import NO_IMPORTANCE, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import DiceOverCases, ExpectedDice
from brats_mm.domain.volume import Grid, Volume
from brats_mm.trust.assess import assess, describe_coverage, format_advice
from brats_mm.trust.case_dice import Grade
from brats_mm.trust.fit import fit_profile
from brats_mm.trust.no_tumour import NO_TUMOUR
from tests.fakes.trust_records import made_records

PROFILE = fit_profile(made_records())
GRID = Grid((20, 20, 20), np.eye(4))
T1_FLAIR = frozenset({Modality.T1, Modality.FLAIR})


def prediction_of(probability: float, *, profile=PROFILE, expected=None, available=T1_FLAIR) -> Prediction:
    """Return a cube of 1 uL voxels with one probability everywhere, in each region."""
    values = np.zeros(GRID.shape, np.float32)
    values[:10, :10, :10] = probability
    brain = np.zeros(GRID.shape, np.float32)
    brain[:12, :12, :12] = np.random.default_rng(0).uniform(1, 2, (12, 12, 12))
    volumes = {modality: Volume(brain, GRID) for modality in available}
    model = ModelIdentity("made", "1", "0" * 64, 1, expected=expected, trust=profile)
    run = Run("cpu", "fake", (64, 64, 64), 1, {})
    return Prediction(Case("made", volumes, GRID), dict.fromkeys(REGIONS, values), NO_IMPORTANCE, model, run)


def test_input_warnings_precede_no_tumour_warning():
    """The score is 0.67 and 0.75."""
    profile = replace(PROFILE, no_tumour_scores={2: 0.71})
    prediction = replace(prediction_of(0.5, profile=profile), warnings=("T1 looks like a mask.",))
    assert assess(prediction).warnings[:2] == ("T1 looks like a mask.", NO_TUMOUR)
    assert NO_TUMOUR not in assess(prediction_of(0.6, profile=profile)).warnings
    unfitted = prediction_of(0.5, profile=None)
    assert NO_TUMOUR not in assess(unfitted).warnings, "measured with the weights of the profile"


def test_profile_calibrates_estimate_and_adds_intervals():
    region = assess(prediction_of(0.6)).regions[Region.WT]
    assert region.estimate == pytest.approx(0.75)
    assert region.expected_dice == pytest.approx(0.65, abs=0.02)
    assert region.dice_interval[0] < region.expected_dice < region.dice_interval[1]
    assert region.grade is Grade.REVIEW
    low, high = region.volume_interval_ml
    assert low < 1.0 < high


def test_volume_interval_ends_at_the_volume_of_the_brain():
    """The brain has 12 x 12 x 12 voxels of 1 uL. Without the limit, intervals of an uncertain ET reach further."""
    prediction = prediction_of(0.51)
    volume_ml, expected = prediction.volume_ml(Region.ET), assess(prediction).regions[Region.ET].expected_dice
    assert prediction.case.brain_ml == pytest.approx(1.728)
    assert PROFILE.volume_interval_ml(T1_FLAIR, Region.ET, volume_ml, expected)[1] > 1.728
    for trust in assess(prediction).regions.values():
        assert trust.volume_interval_ml[1] <= 1.728
    assert assess(prediction).regions[Region.ET].volume_interval_ml[1] == pytest.approx(1.728)


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
    sentence = format_advice(gains)
    assert sentence.startswith("Adding T1ce would raise the expected Dice of the ")
    assert all(region.label in sentence for region in REGIONS)


def test_without_profile_advice_uses_model_card():
    dice = {
        subset: dict.fromkeys(REGIONS, DiceOverCases(mean, 0.1))
        for subset, mean in ((T1_FLAIR, 0.5), (T1_FLAIR | {Modality.T1CE}, 0.7), (T1_FLAIR | {Modality.T2}, 0.505))
    }
    gains = assess(prediction_of(0.6, profile=None, expected=ExpectedDice(10, dice))).gains
    assert gains[0].after[Region.TC] == pytest.approx(0.7)
    assert format_advice(gains[1:]) == "No missing sequence is expected to raise the Dice by 2 points or more."


def test_no_advice_without_absent_sequences_or_figures():
    assert format_advice(assess(prediction_of(0.6, available=ALL_AVAILABLE)).gains) is None
    assert assess(prediction_of(0.6, profile=None)).gains == ()


def test_advice_states_small_number_of_cases():
    assert "only 12 labelled cases" in describe_coverage(PROFILE)
    assert assess(prediction_of(0.6)).statement == describe_coverage(PROFILE)
    assert "no trust profile" in assess(prediction_of(0.6, profile=None)).statement
    assert "too few" in describe_coverage(fit_profile(made_records(5)))
    many = describe_coverage(replace(PROFILE, cases=200, coverage_floor=0.87))
    assert "only" not in many
