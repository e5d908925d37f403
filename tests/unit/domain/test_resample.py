"""Resampling with hand-checked weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.domain.resample import compute_axis_weights, compute_resampled_side, resample, resample_signal


def test_halving_averages_pairs():
    np.testing.assert_allclose(compute_axis_weights(4, 2), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])


def test_three_into_two_splits_middle():
    """Each new voxel covers one and a half old ones."""
    np.testing.assert_allclose(compute_axis_weights(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], rtol=1e-6)


def test_doubling_interpolates_between_centres():
    """New centres are at a quarter and three quarters of each old voxel, and the ends keep the last value."""
    np.testing.assert_allclose(compute_axis_weights(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


@given(st.integers(1, 40), st.integers(1, 40))
def test_weights_of_a_voxel_sum_to_one(old, new):
    weights = compute_axis_weights(old, new)
    assert weights.shape == (new, old)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert (weights >= 0).all()


@pytest.mark.parametrize("shape", [(8, 5, 9), (4, 10, 3), (8, 10, 9)])
def test_matches_pytorch(shape):
    """Trilinear along growing axes, area averaging along shrinking ones."""
    volume = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    batch = torch.from_numpy(volume)[None, None]
    smaller = tuple(min(old, new) for old, new in zip(volume.shape, shape, strict=True))
    expected = F.interpolate(F.interpolate(batch, size=smaller, mode="area"), size=shape, mode="trilinear")[0, 0]
    np.testing.assert_allclose(resample(volume, shape), expected, rtol=1e-5, atol=1e-6)


def test_background_stays_zero():
    """A new voxel is kept if at least half of it is signal."""
    volume = np.array([4.0, 2, 6, 0, 0, 0], np.float32).reshape(6, 1, 1)
    assert resample_signal(volume, (3, 1, 1)).ravel().tolist() == [3, 3, 0]


@pytest.mark.parametrize(
    ("size", "spacing", "requested", "expected"),
    [(240, 1.0, 2.0, 120), (155, 1.0, 2.0, 78), (155, 1.01, 1.0, 155), (24, 5.5, 1.0, 132)],
)
def test_shape_follows_spacing(size, spacing, requested, expected):
    assert compute_resampled_side(size, spacing, requested) == expected
