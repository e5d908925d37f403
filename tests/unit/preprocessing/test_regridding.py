"""Maps on other grids: reordered without loss for equal voxels, averaged for larger ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_mm.domain.volume import Grid
from brats_mm.preprocessing.regridding import move_to_grid

OLD = Grid((4, 5, 6), np.array([[0, 0, 1.5, 3], [-1, 0, 0, 7], [0, 2, 0, -4], [0, 0, 0, 1.0]]))


def reordered(grid, order, flips):
    """Return the same voxels with axes in another order and direction."""
    columns = grid.affine[:3, list(order)].copy()
    origin = grid.affine[:3, 3].copy()
    shape = tuple(grid.shape[axis] for axis in order)
    for axis, flip in enumerate(flips):
        if flip:
            origin += columns[:, axis] * (shape[axis] - 1)
            columns[:, axis] *= -1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns, origin
    return Grid(shape, affine)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(order=st.permutations([0, 1, 2]), flips=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_equal_voxels_in_other_order_are_unchanged(order, flips):
    data = np.random.default_rng(0).random(OLD.shape, np.float32)
    new = reordered(OLD, order, flips)
    expected = data.transpose(order)
    for axis, flip in enumerate(flips):
        expected = np.flip(expected, axis) if flip else expected
    assert np.array_equal(move_to_grid(data, OLD, new), expected)


def test_shift_of_a_tenth_of_a_voxel_is_interpolated():
    affine = OLD.affine.copy()
    affine[0, 3] += 0.15  # along the third axis, of 1.5 mm
    data = np.broadcast_to(np.arange(6, dtype=np.float32), OLD.shape)
    assert 0.1 <= move_to_grid(data, OLD, Grid(OLD.shape, affine))[0, 0, 0] < 0.2


def test_thick_slice_is_average_of_covered_slices():
    data = np.zeros((3, 3, 6), np.float32)
    data[:, :, 2] = 1.0
    old = Grid((3, 3, 6), np.eye(4))
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[2, 3] = 1.0
    values = move_to_grid(data, old, Grid((3, 3, 2), affine))
    assert values[1, 1].tolist() == pytest.approx([1 / 3, 0.0])


def test_oblique_grid_interpolates_and_is_zero_outside():
    x, y, _ = np.meshgrid(*map(np.arange, (8, 8, 8)), indexing="ij")
    old = Grid((8, 8, 8), np.eye(4))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0.0, 1]])
    affine[:3, 3] = [4, 1, 0]
    new = Grid((5, 5, 8), affine)
    values = move_to_grid((x + 2 * y + 0.0).astype(np.float32), old, new)
    place = affine @ [2, 2, 3, 1]
    assert values[2, 2, 3] == pytest.approx(place[0] + 2 * place[1], rel=1e-5)
    beyond = Grid((2, 2, 2), np.array([[1, 0, 0, 100], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert not move_to_grid(np.ones((8, 8, 8), np.float32), old, beyond).any()
