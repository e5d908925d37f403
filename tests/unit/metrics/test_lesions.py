"""Lesion-wise Dice and HD95 of synthetic lesions."""

import math

import numpy as np
import pytest

from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.lesions import LesionScore, find_reference_lesions, score_lesions

UNIT = (1.0, 1.0, 1.0)


def cubes(*corners: tuple[int, int, int], side: int = 4) -> np.ndarray:
    mask = np.zeros((40, 40, 40), np.bool_)
    for x, y, z in corners:
        mask[x : x + side, y : y + side, z : z + side] = True
    return mask


def score(predicted: np.ndarray, reference: np.ndarray, policy: EmptyPolicy = EmptyPolicy.BRATS) -> LesionScore:
    return score_lesions(predicted, find_reference_lesions(reference, UNIT), UNIT, policy)


def test_two_separate_lesions_found_completely():
    mask = cubes((2, 2, 2), (30, 30, 30))
    assert LesionScore(1.0, 0.0, 2, 0, 0) == score(mask, mask)


def test_missed_and_false_lesions_score_zero():
    lesions = score(cubes((2, 2, 2), (2, 30, 2)), cubes((2, 2, 2), (30, 30, 30)))
    assert (pytest.approx(1 / 3), 1, 1, 1) == (lesions.dice, lesions.detected, lesions.missed, lesions.false)


def test_half_found_lesion_scores_its_dice():
    half = cubes((2, 2, 2))
    half[2:4] = False
    assert pytest.approx(2 * 32 / (32 + 64)) == score(half, cubes((2, 2, 2))).dice


def test_components_that_touch_after_dilation_are_one_lesion():
    near = find_reference_lesions(cubes((2, 2, 2), (11, 2, 2)), UNIT)  # a gap of 5 voxels, two dilations of 3
    far = find_reference_lesions(cubes((2, 2, 2), (20, 2, 2)), UNIT)
    assert (len(near), len(far)) == (1, 2)


def test_component_next_to_lesion_is_matched_and_lowers_its_dice():
    lesions = score(cubes((2, 2, 2), (8, 2, 2)), cubes((2, 2, 2)))
    assert (pytest.approx(2 * 64 / (128 + 64)), 1, 0) == (lesions.dice, lesions.detected, lesions.false)


def test_ignores_lesions_up_to_50_mm3_and_components_on_them():
    small = cubes((2, 2, 2), side=3)
    assert LesionScore(1.0, 0.0, 0, 0, 0) == score(small, small)
    assert find_reference_lesions(small, (1.0, 1.0, 2.0))[0].scored


def test_empty_reference_follows_policy():
    none, some = cubes(), cubes((2, 2, 2))
    assert LesionScore(1.0, 0.0, 0, 0, 0) == score(none, none)
    assert LesionScore(0.0, 374.0, 0, 0, 1) == score(some, none)
    assert math.isnan(score(some, none, EmptyPolicy.SKIP).dice)
    assert math.isnan(score(some, none, EmptyPolicy.SKIP).hd95_mm)


# The expected values below were computed by hand from the rules of the challenge's code.


def test_missed_and_false_lesions_have_hd95_of_374_mm():
    lesions = score(cubes((2, 2, 2), (2, 30, 2)), cubes((2, 2, 2), (30, 30, 30)))
    assert pytest.approx((0 + 374 + 374) / 3) == lesions.hd95_mm


def test_lesion_hd95_uses_matched_components():
    """A cube moves by two voxels. Of its 56 surface voxels, more than 5 % are two voxels from the other cube."""
    lesions = score(cubes((4, 2, 2)), cubes((2, 2, 2)))
    assert (pytest.approx(0.5), pytest.approx(2.0)) == (lesions.dice, lesions.hd95_mm)


def test_false_component_of_any_size_counts():
    predicted = cubes((2, 2, 2))
    predicted[38, 38, 38] = True
    lesions = score(predicted, cubes((2, 2, 2)))
    assert (lesions.dice, lesions.hd95_mm, lesions.false) == (0.5, 187.0, 1)


def test_component_over_two_lesions_counts_for_both():
    """A bar of 4 x 4 x 24 covers two cubes of side 4, 16 apart. Each lesion has Dice 2 x 64 / (384 + 64)."""
    bar = cubes()
    bar[2:26, 2:6, 2:6] = True
    lesions = score(bar, cubes((2, 2, 2), (22, 2, 2)))
    assert (pytest.approx(128 / 448), 2, 0) == (lesions.dice, lesions.detected, lesions.false)


def test_lesion_reached_only_by_dilation_is_found_with_dice_zero():
    """The component is two voxels away: within the dilation of three, without a shared voxel."""
    lesions = score(cubes((8, 2, 2)), cubes((2, 2, 2)))
    assert (lesions.dice, lesions.detected, lesions.missed, lesions.false) == (0.0, 1, 0, 0)
    assert lesions.hd95_mm < 374


def test_component_more_than_three_voxels_away_is_false():
    """Faces three voxels apart touch after a dilation by three. Faces four voxels apart do not."""
    lesion = cubes((2, 2, 2))  # ends at voxel 5
    near, far = score(cubes((8, 2, 2)), lesion), score(cubes((9, 2, 2)), lesion)
    assert (near.detected, near.false) == (1, 0)
    assert (far.detected, far.false) == (0, 1)


def test_dilation_uses_18_neighbourhood():
    """Three dilations reach offsets (3, 1, 1) and (2, 2, 2), but not (3, 3, 3)."""
    lesion = cubes((10, 10, 10))  # ends at voxel 13
    reached, beyond = cubes(), cubes()
    reached[15:17, 15:17, 15:17] = True
    beyond[16:18, 16:18, 16:18] = True
    assert score(reached, lesion).false == 0
    assert score(beyond, lesion).false == 1


def test_fragments_merge_into_one_lesion_above_threshold():
    """Two cubes of 27 voxels are each too small. They form one lesion of 54 voxels when their dilated masks touch."""
    both = cubes((2, 2, 2), (8, 2, 2), side=3)
    assert LesionScore(1.0, 0.0, 1, 0, 0) == score(both, both)
    assert LesionScore(0.0, 374.0, 0, 1, 0) == score(cubes(), both)


@pytest.mark.parametrize(("voxels", "scored"), [(50, False), (51, True)])
def test_lesion_of_exactly_50_mm3_is_ignored(voxels, scored):
    mask = cubes()
    mask[5:10, 5:10, 5:7] = True  # 50 voxels
    mask[5, 5, 7] = voxels == 51
    assert scored is find_reference_lesions(mask, UNIT)[0].scored


def test_missed_small_lesion_costs_nothing_and_prediction_on_it_is_not_false():
    small = cubes((30, 30, 30), side=3)
    large = cubes((2, 2, 2))
    assert LesionScore(1.0, 0.0, 1, 0, 0) == score(large, large | small)
    assert LesionScore(1.0, 0.0, 1, 0, 0) == score(large | cubes((30, 30, 30), side=5), large | small)


def test_components_touching_at_corner_are_one_lesion():
    predicted = cubes((20, 20, 20), (24, 24, 24))
    assert score(predicted, cubes((2, 2, 2))).false == 1
