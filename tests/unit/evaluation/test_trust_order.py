"""A smaller subset replaces a larger one only if its expected Dice leads by the margin."""

import math
from dataclasses import replace

import pytest

from brats_mm.domain.availability import ALL_AVAILABLE
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region
from brats_mm.evaluation.trust_figures import choose_best_answer
from brats_mm.trust.left_out import LeftOutPrediction
from tests.fakes.trust_records import made_records

PAIR = frozenset({Modality.T1CE, Modality.FLAIR})
ALONE = frozenset({Modality.FLAIR})
OTHER = frozenset({Modality.T2})


def answer(subset, expected):
    return LeftOutPrediction("case", subset, Region.WT, made_records(1)[0], expected, 0.5, None, None)


@pytest.mark.parametrize(("margin", "chosen"), [(math.inf, PAIR), (0.1, PAIR), (0.05, ALONE), (0.0, ALONE)])
def test_lead_of_eight_points_counts_for_smaller_margins(margin, chosen):
    """FLAIR alone leads by eight points. T2 and all four sequences are not among the sequences of the pair."""
    own = {one: answer(one, dice) for one, dice in ((PAIR, 0.6), (ALONE, 0.68), (OTHER, 0.9), (ALL_AVAILABLE, 0.95))}
    assert choose_best_answer(own, PAIR, margin).subset == chosen


def test_empty_segmentation_is_neither_replaced_nor_a_replacement():
    own = {PAIR: answer(PAIR, math.nan), ALONE: answer(ALONE, 0.9)}
    assert choose_best_answer(own, PAIR, 0.0).subset == PAIR
    own = {PAIR: answer(PAIR, 0.1), ALONE: replace(own[ALONE], expected_dice=math.nan)}
    assert choose_best_answer(own, PAIR, 0.0).subset == PAIR
