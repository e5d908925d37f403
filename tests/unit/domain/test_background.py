"""Background voxels: exact where the background is one value, tolerant where it is blurred."""

import numpy as np
import pytest
from scipy import ndimage

from brats_mm.domain.background import find_background, find_foreground, remove_background
from brats_mm.domain.grey_window import choose_grey_window
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume

SHAPE = (48, 48, 48)
INSIDE = ((np.indices(SHAPE) - 23.5) ** 2).sum(axis=0) < 18**2


def brain(low=200.0, high=1000.0):
    """Return a ball of random intensities inside zeros."""
    values = np.random.default_rng(0).uniform(low, high, SHAPE)
    return np.where(INSIDE, values, 0).astype(np.float32)


def noise(scale):
    return np.random.default_rng(1).normal(0, scale, SHAPE)


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_exact_background_makes_every_other_voxel_foreground():
    data = brain()
    data[24, 24, 20:28] = 1.0
    background = find_background(data)
    assert (background.value, background.tolerance, background.is_exact) == (0.0, 0.0, True)
    np.testing.assert_array_equal(find_foreground(data), data != 0)
    assert remove_background(data) is data


@pytest.mark.parametrize("share", [1e-6, 1e-3, 1e-2])
def test_noise_up_to_one_percent_of_range_is_background(share):
    data = (brain() + noise(share * 1000)).astype(np.float32)
    assert find_background(data).noise == pytest.approx(share, rel=0.1)
    assert dice(find_foreground(data), INSIDE) > 0.9999
    assert not remove_background(data)[~find_foreground(data)].any()


def test_cubic_spline_overshoot_is_background():
    """Splines leave tiny values far from the brain, and up to a tenth of the edge's step next to it."""
    moved = ndimage.shift(brain(500, 700).astype(np.float64), (0.4, 0.3, 0.2), order=3).astype(np.float32)
    truth = ndimage.shift(INSIDE.astype(np.float32), (0.4, 0.3, 0.2), order=1) > 0.02
    assert np.count_nonzero(moved) > 0.9 * moved.size
    assert dice(find_foreground(moved), truth) > 0.95  # a difference of one voxel at the edge gives 0.92
    assert (moved[find_foreground(moved)] > 0).all()


@pytest.mark.parametrize("shift", [-7.0, 300.0])
def test_shifted_background_is_found_with_and_without_noise(shift):
    exact, blurred = brain() + np.float32(shift), (brain() + shift + noise(3)).astype(np.float32)
    assert find_background(exact).value == shift
    np.testing.assert_array_equal(find_foreground(exact), INSIDE)
    assert find_background(blurred).value == pytest.approx(shift, abs=1)
    assert dice(find_foreground(blurred), INSIDE) > 0.9999


def test_z_scores_lie_on_both_sides_of_background():
    scores = np.where(INSIDE, (brain() - 600) / 231, 0)
    blurred = (scores + noise(1e-4)).astype(np.float32)
    assert 0.4 < find_background(blurred).below < 0.6
    assert dice(find_foreground(blurred), INSIDE) > 0.98  # brain voxels within 2 % of the background are lost
    np.testing.assert_array_equal(find_foreground(scores.astype(np.float32)), scores.astype(np.float32) != 0)


@pytest.mark.parametrize("width", [0.3, 1.0])
def test_z_scores_of_narrow_peak_keep_exact_zero_background(width):
    """Most of the brain is near 0, where half of it is darker than the background and none of it is background."""
    rng = np.random.default_rng(0)
    data = np.zeros((40, 40, 40), np.float32)
    inside = np.s_[10:30, 10:30, 10:30]
    data[inside] = rng.normal(0, width, (20, 20, 20))
    data[12:16, 12:16, 12:28] = 8.0
    background = find_background(data)
    assert background.is_exact
    assert np.count_nonzero(find_foreground(data, background)) == 8000


def test_inverted_intensities_are_foreground():
    data = (-brain() + noise(1)).astype(np.float32)
    assert find_background(data).is_inverted
    assert not find_background(brain()).is_inverted
    assert dice(find_foreground(data), INSIDE) > 0.9999


def test_gain_field_keeps_exact_background():
    """N4 divides by a field, which keeps zeros and makes brain values uneven."""
    field = np.linspace(0.5, 2, SHAPE[0], dtype=np.float32)[:, None, None]
    np.testing.assert_array_equal(find_foreground(brain() / field), INSIDE)


def test_single_bright_voxel_does_not_widen_tolerance():
    data = (brain() + noise(3)).astype(np.float32)
    data[0, 0, 1] = 1e7
    assert find_background(data).tolerance < 30
    assert dice(find_foreground(data), INSIDE) > 0.9999
    assert remove_background(data).max() < 1e4


def test_brain_at_one_corner_does_not_become_background():
    data = brain()[6:, 6:, 6:] - np.float32(7)
    data[0, 0, 0] = 500
    assert find_background(data).value == -7


def test_air_of_raw_scan_is_not_quiet():
    air = np.abs(noise(50) + 1j * np.random.default_rng(2).normal(0, 50, SHAPE))
    assert not find_background((brain() + air).astype(np.float32)).is_quiet
    assert find_background(brain()).is_quiet


def test_non_finite_voxels_are_never_foreground():
    data = brain()
    data[~INSIDE] = np.nan
    np.testing.assert_array_equal(find_foreground(data), INSIDE)
    np.testing.assert_array_equal(remove_background(data), brain())


@pytest.mark.parametrize("background", [0.0, -300.0, 5000.0])
def test_grey_window_covers_foreground_for_any_background(background):
    """Uniform values of 200 to 1000. On T1ce, 2 % are below 216 and 1 % above 992. On FLAIR, 0.1 % are above 999.2."""
    data = np.where(INSIDE, brain(), background).astype(np.float32)
    data[24, 24, 24] = 1e9
    image = Volume(data, Grid(SHAPE, np.eye(4)))
    assert choose_grey_window(image, Modality.T1CE) == (pytest.approx(216, abs=8), pytest.approx(992, abs=4))
    assert choose_grey_window(image, Modality.FLAIR) == (pytest.approx(216, abs=8), pytest.approx(999.2, abs=2))


def test_constant_image_has_window_of_positive_width():
    low, high = choose_grey_window(Volume(np.full(SHAPE, 3.0, np.float32), Grid(SHAPE, np.eye(4))), Modality.T1)
    assert high > low
