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
    return lesion_score(predicted, reference_lesions(reference, UNIT), UNIT, policy)


def test_two_far_lesions_found_wholly():
    mask = cubes((2, 2, 2), (30, 30, 30))
    assert LesionScore(1.0, 0.0, 2, 0, 0) == score(mask, mask)


def test_a_missed_lesion_and_a_false_one_count_as_zeros():
    lesions = score(cubes((2, 2, 2), (2, 30, 2)), cubes((2, 2, 2), (30, 30, 30)))
    assert (pytest.approx(1 / 3), 1, 1, 1) == (lesions.dice, lesions.detected, lesions.missed, lesions.false)


def test_half_a_lesion_scores_its_own_dice():
    half = cubes((2, 2, 2))
    half[2:4] = False
    assert pytest.approx(2 * 32 / (32 + 64)) == score(half, cubes((2, 2, 2))).dice


def test_components_that_touch_when_dilated_are_one_lesion():
    near = reference_lesions(cubes((2, 2, 2), (11, 2, 2)), UNIT)  # a gap of 5 voxels, two dilations of 3
    far = reference_lesions(cubes((2, 2, 2), (20, 2, 2)), UNIT)
    assert (len(near), len(far)) == (1, 2)


def test_a_component_beside_a_lesion_belongs_to_it_and_lowers_its_dice():
    lesions = score(cubes((2, 2, 2), (8, 2, 2)), cubes((2, 2, 2)))
    assert (pytest.approx(2 * 64 / (128 + 64)), 1, 0) == (lesions.dice, lesions.detected, lesions.false)


def test_lesions_of_50_mm3_or_less_are_not_scored_nor_components_on_them():
    small = cubes((2, 2, 2), side=3)
    assert LesionScore(1.0, 0.0, 0, 0, 0) == score(small, small)
    assert reference_lesions(small, (1.0, 1.0, 2.0))[0].scored


def test_empty_reference_follows_the_policy():
    none, some = cubes(), cubes((2, 2, 2))
    assert LesionScore(1.0, 0.0, 0, 0, 0) == score(none, none)
    assert LesionScore(0.0, 374.0, 0, 0, 1) == score(some, none)
    assert math.isnan(score(some, none, EmptyPolicy.SKIP).dice)
    assert math.isnan(score(some, none, EmptyPolicy.SKIP).hd95_mm)


# What follows was worked out by hand from the rules of the challenge's own code.


def test_a_missed_lesion_and_a_false_one_count_374_mm_each():
    lesions = score(cubes((2, 2, 2), (2, 30, 2)), cubes((2, 2, 2), (30, 30, 30)))
    assert pytest.approx((0 + 374 + 374) / 3) == lesions.hd95_mm


def test_a_lesions_distance_is_that_of_what_belongs_to_it():
    """A cube moved by two voxels: of each cube's 56 surface voxels more than 5 % are two voxels from the other."""
    lesions = score(cubes((4, 2, 2)), cubes((2, 2, 2)))
    assert (pytest.approx(0.5), pytest.approx(2.0)) == (lesions.dice, lesions.hd95_mm)


def test_a_false_component_counts_however_small():
    predicted = cubes((2, 2, 2))
    predicted[38, 38, 38] = True
    lesions = score(predicted, cubes((2, 2, 2)))
    assert (lesions.dice, lesions.hd95_mm, lesions.false) == (0.5, 187.0, 1)


def test_a_component_that_meets_two_lesions_counts_for_both():
    """A bar of 4 x 4 x 24 over two cubes of 4 a side, 16 apart: each lesion has Dice 2 x 64 / (384 + 64)."""
    bar = cubes()
    bar[2:26, 2:6, 2:6] = True
    lesions = score(bar, cubes((2, 2, 2), (22, 2, 2)))
    assert (pytest.approx(128 / 448), 2, 0) == (lesions.dice, lesions.detected, lesions.false)


def test_a_lesion_met_by_its_rim_only_is_found_with_dice_zero():
    """Two voxels beside the lesion: within the dilation of three, without a shared voxel."""
    lesions = score(cubes((8, 2, 2)), cubes((2, 2, 2)))
    assert (lesions.dice, lesions.detected, lesions.missed, lesions.false) == (0.0, 1, 0, 0)
    assert lesions.hd95_mm < 374


def test_beyond_three_voxels_a_component_is_false():
    """Faces three voxels apart meet when one is dilated by three; four apart do not."""
    lesion = cubes((2, 2, 2))  # ends at voxel 5
    near, far = score(cubes((8, 2, 2)), lesion), score(cubes((9, 2, 2)), lesion)
    assert (near.detected, near.false) == (1, 0)
    assert (far.detected, far.false) == (0, 1)


def test_dilation_grows_along_faces_and_edges_and_not_along_corners_alone():
    """Three dilations by the 18-neighbourhood reach offset (3, 1, 1) and (2, 2, 2), and not (3, 3, 3)."""
    lesion = cubes((10, 10, 10))  # ends at voxel 13
    reached, beyond = cubes(), cubes()
    reached[15:17, 15:17, 15:17] = True
    beyond[16:18, 16:18, 16:18] = True
    assert score(reached, lesion).false == 0
    assert score(beyond, lesion).false == 1


def test_fragments_merge_to_one_lesion_above_the_threshold():
    """Two cubes of 27 voxels, too small alone, are one lesion of 54 when their dilated masks touch."""
    both = cubes((2, 2, 2), (8, 2, 2), side=3)
    assert LesionScore(1.0, 0.0, 1, 0, 0) == score(both, both)
    assert LesionScore(0.0, 374.0, 0, 1, 0) == score(cubes(), both)


@pytest.mark.parametrize(("voxels", "scored"), [(50, False), (51, True)])
def test_fifty_cubic_millimetres_are_not_more_than_fifty(voxels, scored):
    mask = cubes()
    mask[5:10, 5:10, 5:7] = True  # 50 voxels
    mask[5, 5, 7] = voxels == 51
    assert scored is reference_lesions(mask, UNIT)[0].scored


def test_a_small_lesion_that_was_missed_costs_nothing_and_a_prediction_on_it_is_not_false():
    small = cubes((30, 30, 30), side=3)
    large = cubes((2, 2, 2))
    assert LesionScore(1.0, 0.0, 1, 0, 0) == score(large, large | small)
    assert LesionScore(1.0, 0.0, 1, 0, 0) == score(large | cubes((30, 30, 30), side=5), large | small)


def test_components_touching_at_a_corner_are_one():
    predicted = cubes((20, 20, 20), (24, 24, 24))
    assert score(predicted, cubes((2, 2, 2))).false == 1
