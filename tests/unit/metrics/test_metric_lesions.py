"""Lesion-wise Dice of drawn lesions."""

import math

import numpy as np
import pytest

from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.lesions import LesionScore, lesion_score, reference_lesions

UNIT = (1.0, 1.0, 1.0)


def cubes(*corners: tuple[int, int, int], side: int = 4) -> np.ndarray:
    mask = np.zeros((40, 40, 40), np.bool_)
    for x, y, z in corners:
        mask[x : x + side, y : y + side, z : z + side] = True
    return mask


def score(predicted: np.ndarray, reference: np.ndarray, policy: EmptyPolicy = EmptyPolicy.BRATS) -> LesionScore:
    return lesion_score(predicted, reference_lesions(reference, UNIT), policy)


def test_two_far_lesions_found_wholly():
    mask = cubes((2, 2, 2), (30, 30, 30))
    assert LesionScore(1.0, 2, 0, 0) == score(mask, mask)


def test_a_missed_lesion_and_a_made_up_one_count_as_zeros():
    found = score(cubes((2, 2, 2), (2, 30, 2)), cubes((2, 2, 2), (30, 30, 30)))
    assert (pytest.approx(1 / 3), 1, 1, 1) == (found.dice, found.found, found.missed, found.false)


def test_half_a_lesion_scores_its_own_dice():
    half = cubes((2, 2, 2))
    half[2:4] = False
    assert pytest.approx(2 * 32 / (32 + 64)) == score(half, cubes((2, 2, 2))).dice


def test_components_that_touch_when_dilated_are_one_lesion():
    near = reference_lesions(cubes((2, 2, 2), (11, 2, 2)), UNIT)  # a gap of 5 voxels, two dilations of 3
    far = reference_lesions(cubes((2, 2, 2), (20, 2, 2)), UNIT)
    assert (len(near), len(far)) == (1, 2)


def test_a_component_beside_a_lesion_belongs_to_it_and_lowers_its_dice():
    found = score(cubes((2, 2, 2), (8, 2, 2)), cubes((2, 2, 2)))
    assert (pytest.approx(2 * 64 / (128 + 64)), 1, 0) == (found.dice, found.found, found.false)


def test_lesions_of_50_mm3_or_less_are_not_scored_nor_what_lies_on_them():
    small = cubes((2, 2, 2), side=3)
    assert LesionScore(1.0, 0, 0, 0) == score(small, small)
    assert reference_lesions(small, (1.0, 1.0, 2.0))[0].scored


def test_empty_reference_follows_the_policy():
    none, some = cubes(), cubes((2, 2, 2))
    assert LesionScore(1.0, 0, 0, 0) == score(none, none)
    assert LesionScore(0.0, 0, 0, 1) == score(some, none)
    assert math.isnan(score(some, none, EmptyPolicy.SKIP).dice)
