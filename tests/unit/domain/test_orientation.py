"""Correction of the axis directions of a header that is known to be wrong."""

import numpy as np
import pytest

from brats_mm.domain.orientation import set_directions
from brats_mm.domain.volume import Grid
from brats_mm.errors import GridError

LPS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_front_and_back_are_swapped_in_same_box():
    grid = Grid((240, 240, 155), LPS)
    fixed = set_directions(grid, "LAS")
    assert fixed.affine.tolist() == [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert sorted(map(tuple, fixed.corners_mm())) == sorted(map(tuple, grid.corners_mm()))


def test_orientation_of_header_changes_nothing():
    grid = Grid((240, 240, 155), LPS)
    assert np.array_equal(set_directions(grid, "LPS").affine, LPS)


@pytest.mark.parametrize("codes", ["PLS", "LP", "LPX", ""])
def test_rejects_other_axes_with_both_values(codes):
    with pytest.raises(GridError, match="LPS"):
        set_directions(Grid((240, 240, 155), LPS), codes)
