"""Pairs of sequence subsets in which the larger subset has the lower Dice."""

import math

import pytest

from brats_mm.domain.availability import ALL_AVAILABLE, NESTED_PAIRS, SUBSETS
from brats_mm.domain.modality import Modality
from brats_mm.metrics.monotonicity import PairTally, tally_pairs


def test_growing_dice_has_no_worse_pair():
    tally = tally_pairs({subset: len(subset) / 4 for subset in SUBSETS})
    assert PairTally(0, len(NESTED_PAIRS), 0.0) == tally
    assert (tally.rate, tally.mean_loss) == (0.0, 0.0)


def test_falling_dice_has_only_worse_pairs():
    assert tally_pairs({subset: 1 - len(subset) / 4 for subset in SUBSETS}).rate == 1


def test_ties_are_not_worse():
    assert tally_pairs(dict.fromkeys(SUBSETS, 0.5)).worse == 0


def test_poor_full_set_is_worse_than_all_14_subsets():
    tally = tally_pairs({subset: 0.2 if subset == ALL_AVAILABLE else 0.5 for subset in SUBSETS})
    assert (tally.worse, tally.worse_by_a_point, tally.pairs) == (14, 14, 50)
    assert pytest.approx(0.3) == tally.mean_loss


def test_losses_under_one_point_count_only_without_tolerance():
    tally = tally_pairs({subset: 0.5 - 0.003 * len(subset) for subset in SUBSETS})
    assert (tally.rate, tally.rate_above_one_point) == (1, 0)


def test_skips_pairs_without_scores():
    t1, full = frozenset({Modality.T1}), ALL_AVAILABLE
    assert PairTally(0, 1, 0.0) == tally_pairs({t1: 0.1, full: 0.2})
    assert tally_pairs({t1: math.nan, full: 0.2}).pairs == 0
    assert math.isnan(PairTally().rate)


def test_counts_add_up_over_cases():
    assert PairTally(3, 60, 0.5, 1) == PairTally(1, 10, 0.25, 1) + PairTally(2, 50, 0.25)
