"""Preparation to the model grid and back, without a shift."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import VolumeError
from brats_mm.inference.prepare import prepare, restore

ORIENTATIONS = {
    "RAS": np.diag([1.0, 1, 1, 1]),
    "LPS": np.diag([-1.0, -1, 1, 1]),
    "LAS": np.diag([-1.0, 1, 1, 1]),
    "PSR": np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    "oblique": np.array([[0.96, -0.28, 0, 5], [0.28, 0.96, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1.0]]),
}


def head(shape, affine, seed=0):
    """Return a box of random signal with a margin of background."""
    data = np.zeros(shape, np.float32)
    inner = tuple(slice(3, size - 4) for size in shape)
    data[inner] = np.random.default_rng(seed).uniform(100, 200, data[inner].shape)
    return Volume(data, Grid(shape, affine))


def case_of(volume, *modalities):
    return Case("case", dict.fromkeys(modalities or (Modality.FLAIR,), volume), volume.grid)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_prepare_and_restore_are_exact_inverses_at_one_millimetre(name):
    """Axes are permuted and flipped, no voxel is resampled."""
    volume = head((24, 26, 28), ORIENTATIONS[name])
    result = prepare(case_of(volume))
    back = restore(result.image[Modality.FLAIR.channel], result.placement)
    inside = volume.data != 0
    expected = np.where(inside, (volume.data - volume.data[inside].mean()) / volume.data[inside].std(), 0)
    np.testing.assert_allclose(back, expected, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in ORIENTATIONS if name != "oblique"])
def test_model_input_does_not_depend_on_orientation(name):
    """A bright corner at the patient's right, front and top is at the RAS end of every axis."""
    affine = ORIENTATIONS[name]
    ras = head((24, 24, 24), np.eye(4))
    world = np.argwhere(np.ones((24, 24, 24), bool))
    indices = np.rint((world - 11.5) @ affine[:3, :3] + 11.5).astype(int)
    data = np.zeros((24, 24, 24), np.float32)
    data[tuple(indices.T)] = ras.data[tuple(world.T)]
    turned = prepare(case_of(Volume(data, Grid((24, 24, 24), affine))))
    torch.testing.assert_close(turned.image, prepare(case_of(ras)).image, rtol=1e-5, atol=1e-5)


def test_missing_channels_and_background_are_zero():
    result = prepare(case_of(head((24, 24, 24), np.eye(4)), Modality.T1CE))
    assert result.flags.tolist() == [False, True, False, False]
    assert (result.image[[0, 2, 3]] == 0).all()
    assert (result.image[1][~result.brain] == 0).all()


def test_box_is_tight_around_brain():
    """Margins of 3 and 4 voxels are cropped."""
    result = prepare(case_of(head((24, 26, 28), np.eye(4))))
    assert tuple(result.brain.shape) == (17, 19, 21)
    assert result.placement.box == ((3, 20), (3, 22), (3, 24))


def test_thick_slices_are_resampled_and_restored_to_their_grid():
    """The model sees 1 mm, and the result is on the input grid of 5 mm slices.

    A wide blob keeps its position and volume.
    """
    grid = Grid((40, 40, 12), np.diag([0.9, 0.9, 5.0, 1]))
    x, y, z = np.meshgrid(
        *(np.arange(size) * step for size, step in zip(grid.shape, (0.9, 0.9, 5.0), strict=True)), indexing="ij"
    )
    blob = (((x - 18) ** 2 + (y - 18) ** 2 + (z - 27) ** 2) < 14**2).astype(np.float32)
    result = prepare(case_of(Volume((blob * (x + 91)).astype(np.float32), grid)))
    assert result.placement.model_shape == (36, 36, 60)
    back = restore(result.brain.float(), result.placement)
    assert back.shape == grid.shape
    overlap = 2 * ((back >= 0.5) & (blob > 0)).sum() / ((back >= 0.5).sum() + blob.sum())
    assert overlap > 0.95


def test_intensity_scale_and_background_offset_have_no_effect():
    """int16-like, float and shifted images give the same model input."""
    volume = head((24, 24, 24), np.eye(4))
    shifted = Volume(volume.data * 0.01 - 7, volume.grid)
    assert shifted.background.value == pytest.approx(-7)
    torch.testing.assert_close(prepare(case_of(shifted)).image, prepare(case_of(volume)).image, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("noise", [1e-6, 1e-3, 1e-2])
def test_background_noise_keeps_brain_and_statistics(noise):
    """Values are 100 to 200, so 1e-2 is a standard deviation of 2. The noise stays in the brain's own values."""
    volume = head((40, 40, 40), np.eye(4))
    rng = np.random.default_rng(1)
    blurred = np.where(volume.data == 0, rng.normal(0, noise * 200, volume.data.shape), volume.data)
    result, clean = prepare(case_of(Volume(blurred.astype(np.float32), volume.grid))), prepare(case_of(volume))
    assert result.placement.box == clean.placement.box
    torch.testing.assert_close(result.image, clean.image)


@pytest.mark.parametrize("value", [1e6, -1e6])
def test_single_bright_voxel_does_not_flatten_image(value):
    """Without clipping, one voxel of 1e6 among 35937 would give a standard deviation of 5275 instead of 29."""
    volume = head((40, 40, 40), np.eye(4))
    hot = volume.data.copy()
    hot[20, 20, 20] = value
    result, clean = prepare(case_of(Volume(hot, volume.grid))), prepare(case_of(volume))
    difference = (result.image - clean.image)[Modality.FLAIR.channel]
    difference[17, 17, 17] = 0
    assert result.placement.box == clean.placement.box
    assert difference.abs().max() < 0.15


def test_clipping_brightest_percent_changes_little():
    """For uniform values of 100 to 200, those above 199 become 199."""
    volume = head((40, 40, 40), np.eye(4))
    result, clean = prepare(case_of(Volume(np.minimum(volume.data, 199), volume.grid))), prepare(case_of(volume))
    torch.testing.assert_close(result.image, clean.image, rtol=0, atol=0.05)


@pytest.mark.parametrize("spacing", [0.2, 40.0])
def test_rejects_field_of_view_that_is_no_head(spacing):
    volume = head((24, 24, 24), np.diag([spacing, spacing, spacing, 1]))
    with pytest.raises(VolumeError, match="Check the voxel size in the header"):
        prepare(case_of(volume))


@given(st.tuples(*[st.integers(22, 30)] * 3), st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_restore_inverts_prepare_for_every_axis_order_and_flip(shape, order, flips):
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (target, flip) in enumerate(zip(order, flips, strict=True)):
        affine[target, axis] = -1 if flip else 1
    volume = head(tuple(shape), affine)
    result = prepare(case_of(volume))
    assert np.array_equal(restore(result.brain.float(), result.placement) > 0, volume.data > 0)
