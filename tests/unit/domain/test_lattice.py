"""Grids with the same voxels in another order, direction or crop are combined exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.domain.lattice import match_lattice, place_voxels, share_lattice, unify_grids
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume

T1, T1CE, T2, FLAIR = Modality
OBLIQUE = np.array([[-0.96, -0.28, 0, 90], [0.28, -0.96, 0, 70], [0, 0, 3, -20], [0, 0, 0, 1.0]])
SHAPE = (12, 14, 10)


def stored(grid, data, order=(0, 1, 2), flips=(False, False, False), crop=(0, 0, 0)):
    """Return the same voxels with axes in another order and direction, without the first `crop` voxels per axis."""
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    shape = tuple(data.shape[axis] for axis in order)
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        turn[source, axis] = -1 if flip else 1
        turn[source, 3] = shape[axis] - 1 if flip else 0
    result = np.flip(data.transpose(order), [axis for axis, flip in enumerate(flips) if flip])
    cut = np.eye(4)
    cut[:3, 3] = crop
    result = result[tuple(slice(n, None) for n in crop)]
    return Volume(np.ascontiguousarray(result), Grid(result.shape, grid.affine @ turn @ cut))


def brain(seed=0, affine=OBLIQUE):
    data = np.zeros(SHAPE, np.float32)
    data[4:9, 4:9, 3:8] = np.random.default_rng(seed).uniform(50, 150, (5, 5, 5))
    return Volume(data, Grid(SHAPE, affine))


@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.tuples(*[st.integers(0, 2)] * 3))
def test_axis_order_flips_and_crops_are_reversed_exactly(order, flips, crop):
    whole, other = brain(), stored(brain().grid, brain(1).data, order, flips, crop)
    together = unify_grids({T1: whole, FLAIR: other})
    np.testing.assert_array_equal(together.volumes[FLAIR].data, brain(1).data)
    assert together.volumes[T1] is whole
    assert together.grid is whole.grid
    assert together.apart_mm[FLAIR] < 1e-9
    assert (together.moved == ()) == (list(order) == [0, 1, 2] and not any(flips) and not any(crop))


def test_uses_largest_grid_when_first_sequence_is_cropped():
    cut = stored(brain().grid, brain().data, crop=(2, 1, 0))
    together = unify_grids({T1: cut, T2: brain(1)})
    assert together.grid.shape == SHAPE
    assert together.moved == (T1,)
    np.testing.assert_array_equal(together.volumes[T1].data, brain().data)


def test_crop_is_padded_with_its_background():
    shifted = stored(brain().grid, brain().data - np.float32(7), crop=(2, 0, 0))
    padded = unify_grids({T1: brain(1), T2: shifted}).volumes[T2]
    assert (padded.data[:2] == -7).all()
    np.testing.assert_array_equal(padded.foreground, brain().data != 0)


@pytest.mark.parametrize(("offset", "start"), [(0.0, 0), (0.3, 0), (0.49, 0), (0.7, 1), (0.9, 1), (5.0, 5)])
def test_offsets_snap_to_nearest_voxel_and_are_reported(offset, start):
    """The offset is along the first axis, whose voxels are 1 mm."""
    affine = OBLIQUE.copy()
    affine[:3, 3] += OBLIQUE[:3, 0] * offset
    match = match_lattice(Grid(SHAPE, affine), Grid(SHAPE, OBLIQUE))
    assert match.start == (start, 0, 0)
    assert match.apart_mm == pytest.approx(abs(offset - start))


def test_half_voxel_offset_is_ambiguous_and_tolerance_can_be_smaller():
    affine = OBLIQUE.copy()
    affine[:3, 3] += OBLIQUE[:3, 0] * 0.5
    assert match_lattice(Grid(SHAPE, affine), Grid(SHAPE, OBLIQUE)) is None
    affine[:3, 3] -= OBLIQUE[:3, 0] * 0.2
    assert match_lattice(Grid(SHAPE, affine), Grid(SHAPE, OBLIQUE), 0.29) is None
    assert match_lattice(Grid(SHAPE, affine), Grid(SHAPE, OBLIQUE), 0.31) is not None


def test_rounded_affine_is_same_grid_without_tolerance():
    """240 voxels times 1e-4 is 0.024 at the far corner. Ten voxels stay below a fiftieth."""
    affine = OBLIQUE + np.where(np.arange(16).reshape(4, 4) < 12, 1e-4, 0)
    assert match_lattice(Grid(SHAPE, affine), Grid(SHAPE, OBLIQUE), 0.0).fills(SHAPE)


def test_rounded_grids_become_one_grid():
    """20 voxels of 1.00001 mm end beyond 20 mm, and 20 of 0.99999 mm before, so that samples per mm could differ."""
    data = np.ones((20, 20, 20), np.float32)
    volumes = {
        modality: Volume(data, Grid(data.shape, np.diag([size, size, size, 1.0])))
        for modality, size in zip((Modality.T1, Modality.FLAIR), (0.99999, 1.00001), strict=True)
    }
    unified = unify_grids(volumes)
    assert all(volume.grid is unified.grid for volume in unified.volumes.values())
    assert unified.volumes[Modality.FLAIR].data is data
    assert unified.moved == ()


@pytest.mark.parametrize(
    "matrix", [np.diag([1, 1, 1.1, 1]), np.array([[1, -0.1, 0, 0], [0.1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])]
)
def test_other_spacing_or_direction_is_other_lattice(matrix):
    assert match_lattice(Grid(SHAPE, OBLIQUE @ matrix), Grid(SHAPE, OBLIQUE)) is None
    assert not share_lattice([Grid(SHAPE, OBLIQUE @ matrix), Grid(SHAPE, OBLIQUE)])
    assert share_lattice([Grid(SHAPE, OBLIQUE)] * 2)


def test_grids_that_would_cut_off_brain_are_not_combined():
    """Half of FLAIR's brain is outside T1's field of view, and vice versa."""
    affine = OBLIQUE.copy()
    affine[:3, 3] += OBLIQUE[:3, 0] * 6
    assert unify_grids({T1: brain(), FLAIR: brain(1, affine)}) is None


def test_voxels_outside_new_grid_are_dropped():
    data = np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    old, new = Grid((4, 1, 1), np.eye(4)), np.eye(4)
    new[0, 3] = 2
    match = match_lattice(old, Grid((5, 1, 1), new))
    assert match.start == (-2, 0, 0)
    assert not match.lies_in((5, 1, 1))
    assert place_voxels(data, match, (5, 1, 1), -1.0).ravel().tolist() == [2, 3, -1, -1, -1]
