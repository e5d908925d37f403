"""HD95 against hand-checked values and MONAI."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance

from brats_mm.metrics.empty import PENALTY_MM, EmptyPolicy
from brats_mm.metrics.surface import compute_surface_hd95, find_surface_points

UNIT = (1.0, 1.0, 1.0)


def hd95_mm(predicted: np.ndarray, reference: np.ndarray, spacing_mm: tuple, policy: EmptyPolicy) -> float:
    return compute_surface_hd95(
        find_surface_points(predicted, spacing_mm), find_surface_points(reference, spacing_mm), policy
    )


def block(start: int, stop: int, side: int = 16) -> np.ndarray:
    mask = np.zeros((side, side, side), np.bool_)
    mask[start:stop, start:stop, start:stop] = True
    return mask


def test_surface_of_cube_excludes_its_interior():
    assert len(find_surface_points(block(2, 5), UNIT)) == 27 - 1


def test_volume_border_counts_as_outside():
    assert len(find_surface_points(np.ones((3, 3, 3), np.bool_), UNIT)) == 26


def test_equal_masks_have_distance_zero():
    assert hd95_mm(block(2, 6), block(2, 6), UNIT, EmptyPolicy.BRATS) == 0


def test_distance_of_two_voxels_is_between_centres_in_mm():
    first, second = np.zeros((8, 8, 8), np.bool_), np.zeros((8, 8, 8), np.bool_)
    first[1, 1, 1] = second[4, 1, 3] = True
    assert pytest.approx(math.hypot(3 * 1.0, 2 * 2.0)) == hd95_mm(first, second, (1.0, 1.0, 2.0), EmptyPolicy.BRATS)


def test_uses_larger_of_both_directions():
    small = block(4, 5)
    both = small | block(10, 11)
    assert hd95_mm(small, both, UNIT, EmptyPolicy.BRATS) == pytest.approx(0.95 * 6 * math.sqrt(3))


def test_empty_regions_follow_policy():
    none, some = block(0, 0), block(2, 4)
    assert hd95_mm(none, none, UNIT, EmptyPolicy.BRATS) == 0
    assert hd95_mm(some, none, UNIT, EmptyPolicy.BRATS) == PENALTY_MM
    assert hd95_mm(none, some, UNIT, EmptyPolicy.SKIP) == PENALTY_MM
    assert math.isnan(hd95_mm(some, none, UNIT, EmptyPolicy.SKIP))


@pytest.mark.parametrize("seed", range(3))
def test_matches_monai_on_random_blobs(seed):
    rng = np.random.default_rng(seed)
    first, second = block(3, 11) & (rng.random((16, 16, 16)) > 0.3), block(5, 13) & (rng.random((16, 16, 16)) > 0.3)
    spacing = (1.0, 1.5, 2.0)
    theirs = compute_hausdorff_distance(
        torch.from_numpy(first)[None, None], torch.from_numpy(second)[None, None], percentile=95, spacing=spacing
    )
    assert float(theirs) == pytest.approx(hd95_mm(first, second, spacing, EmptyPolicy.BRATS), abs=1e-4)
