"""Trust profiles fitted to synthetic evaluations with known results."""

import math
from dataclasses import replace

import pytest

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import (
    DiceCurve,
    SequenceGroup,
    compute_volume_interval,
    compute_volume_scale,
    find_group,
)
from brats_mm.errors import OptionError
from brats_mm.trust.fit import fit_curve, fit_profile
from brats_mm.trust.left_out import FITTED, predict_left_out
from tests.fakes.trust_records import made_records

T1 = frozenset({Modality.T1})


def test_calibration_corrects_high_estimates():
    curve = fit_profile(made_records()).curves[Region.TC]
    for estimate in (0.3, 0.5, 0.7):
        assert curve.expected(estimate) == pytest.approx(estimate - 0.1, abs=0.02)
    assert curve.interval(0.5)[0] < 0.4 < curve.interval(0.5)[1]


def test_curve_is_monotonic():
    curve = fit_curve([(0.1, 0.3), (0.2, 0.1), (0.3, 0.5), (0.4, 0.4), (0.5, 0.9)])
    assert list(curve.dice) == sorted(curve.dice)
    assert curve.expected(0.1) == pytest.approx(0.2)  # the first two are pooled
    assert curve.expected(0.9) == pytest.approx(0.9)


def test_dice_intervals_stay_between_zero_and_one():
    curve = DiceCurve((0.0, 1.0), (0.0, 1.0), width=2.0)
    assert curve.interval(0.97) == (pytest.approx(0.97 - 2 * (0.05 + 0.97 * 0.03)), 1.0)
    assert DiceCurve((0.0, 1.0), (0.0, 1.0)).interval(0.5) is None


def test_volume_intervals_cover_true_volumes_and_widen_for_low_expected_dice():
    profile = fit_profile(made_records(12))
    # The predicted volume is 10 mL, the true volume 10 to 21 mL.
    low, high = profile.volume_interval_ml(ALL_AVAILABLE, Region.WT, 10.0, 0.7)
    assert low < 10.0
    assert high > 18.0
    assert profile.volume_interval_ml(ALL_AVAILABLE, Region.WT, 10.0, 0.4)[1] > high
    empty = profile.volume_interval_ml(ALL_AVAILABLE, Region.WT, 0.0, None)
    assert empty[0] == 0.0 < empty[1]


def test_volume_intervals_are_symmetric_in_log_volume():
    assert compute_volume_interval(10.0, math.log(2)) == (pytest.approx(4.5), pytest.approx(21.0))
    assert compute_volume_interval(0.0, math.log(2)) == (0.0, pytest.approx(1.0))
    assert compute_volume_scale(0.5) == pytest.approx(
        math.log(3)
    )  # one volume is three times the other and contains it
    assert compute_volume_scale(None) == compute_volume_scale(0.0) == pytest.approx(math.log(19))


def test_fewer_than_nine_cases_give_no_90_percent_interval():
    profile = fit_profile(made_records(8))
    assert profile.volume_interval_ml(ALL_AVAILABLE, Region.WT, 10.0, 0.7) is None
    assert profile.curves[Region.WT].interval(0.5) is None
    assert profile.is_small


def test_every_subset_has_a_group():
    groups = [find_group(subset) for subset in SUBSETS]
    assert [groups.count(group) for group in SequenceGroup] == [6, 2, 6, 1]


def test_gains_match_sequences():
    gains = fit_profile(made_records()).gains
    assert gains.gain(T1, Modality.T1CE, Region.ET, None, 0.0) == pytest.approx(0.3)
    assert gains.gain(T1, Modality.FLAIR, Region.ET, None, 0.0) == pytest.approx(0.1)


def test_good_cases_gain_less_when_labelled_cases_do():
    # T1ce brings every case to 0.8, whatever its earlier Dice.
    flat = [replace(one, dice=0.8, estimated_dice=0.9) if "t1ce" in one.subset else one for one in made_records()]
    gains = fit_profile(flat).gains
    poor, good = (gains.gain(T1, Modality.T1CE, Region.WT, expected, 10.0) for expected in (0.1, 0.2))
    assert poor - good == pytest.approx(0.1, abs=0.03)


def test_left_out_estimates_use_other_cases():
    records = made_records(10)
    odd = [replace(one, dice=0.0) if one.case == "case3" else one for one in records]
    responses = [
        one for one in predict_left_out(odd).predictions if one.case == "case3" and one.subset == ALL_AVAILABLE
    ]
    assert len(responses) == 3
    assert all(one.expected_dice > 0.5 and one.mean_dice > 0.5 for one in responses)


def test_each_light_counts_its_outlines_and_the_poor_ones():
    """The Dice of 12 cases and 15 subsets is 0.1 to 0.69, so no outline is reliable."""
    profile = fit_profile(made_records(12))
    for region in Region:
        counts = profile.lights[region]
        assert sum(one.outlines for one in counts.values()) == 12 * 15
        assert sum(one.poor for one in counts.values()) == sum(
            one.dice < 0.5 for one in made_records(12) if one.region == region.value
        )
        assert counts.keys() == {"review", "unreliable"}
        assert counts["review"].poor / counts["review"].outlines < 0.1
        assert counts["unreliable"].poor / counts["unreliable"].outlines > 0.9


def test_left_out_gains_are_exact_when_all_cases_agree():
    gains = [one for one in predict_left_out(made_records(10)).gains if one.kind == FITTED]
    assert len(gains) == 10 * 28 * len(REGIONS)  # 28 pairs of a subset and an absent sequence
    assert all(one.gain.predicted == pytest.approx(one.gain.true, abs=1e-6) for one in gains)


def test_rejects_too_few_cases():
    with pytest.raises(OptionError, match="at least 3 labelled cases, got 2"):
        fit_profile(made_records(2))
    with pytest.raises(OptionError, match="at least 4 labelled cases, got 3"):
        predict_left_out(made_records(3))
