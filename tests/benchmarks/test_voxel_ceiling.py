"""Dice of a mask after resampling to coarse voxels and back."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from voxel_ceiling import resample_round_trip

MILLIMETRE = (1.0, 1.0, 1.0)


def test_block_of_whole_coarse_voxels_round_trips() -> None:
    """Values are 0.75 x 0.75 just inside the edges, which is above one half, and 0.25 just outside the faces."""
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[4:12, 4:12, :] = True
    assert np.array_equal(resample_round_trip(mask, MILLIMETRE, 2.0), mask)


def test_single_voxel_is_lost() -> None:
    """A voxel fills an eighth of a voxel that is twice as wide, which is less than half."""
    mask = np.zeros((8, 8, 8), dtype=bool)
    mask[3, 3, 3] = True
    assert not resample_round_trip(mask, MILLIMETRE, 2.0).any()


def test_equal_voxel_size_loses_nothing() -> None:
    mask = np.random.default_rng(0).random((8, 8, 8)) < 0.5
    assert np.array_equal(resample_round_trip(mask, MILLIMETRE, 1.0), mask)
