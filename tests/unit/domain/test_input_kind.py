"""Prepared and raw input are told apart by voxels and geometry."""

import numpy as np
import pytest

from brats_mm.domain.input_kind import InputKind, detect_stripped, recognise_kind
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume

GRID = Grid((20, 20, 20), np.diag([8.0, 8.0, 8.0, 1.0]))


def brain(grid=GRID, value=100.0, background=0.0, radius=7):
    at = np.indices(grid.shape) - np.array(grid.shape).reshape(3, 1, 1, 1) / 2 + 0.5
    inside = (at**2).sum(axis=0) < radius**2
    return Volume(np.where(inside, value, background).astype(np.float32), grid)


def noisy(grid=GRID):
    data = np.random.default_rng(0).uniform(1, 9, grid.shape).astype(np.float32)
    return Volume(data + brain(grid).data, grid)


def test_stripped_sequences_on_one_grid_are_prepared():
    recognition = recognise_kind({Modality.T1: brain(), Modality.T2: brain(value=50)})
    assert recognition.kind is InputKind.PREPARED
    assert recognition.stripped == {Modality.T1, Modality.T2}
    assert recognition.evidence[0] == "The 2 sequences share a grid."
    assert recognition.evidence[1] == "T1: 82% of the voxels are background, and 0.75 L are not: skull-stripped."


def test_shifted_background_counts_as_background():
    assert recognise_kind({Modality.T1: brain(value=3.0, background=-0.5)}).kind is InputKind.PREPARED


@pytest.mark.parametrize("share", [1e-6, 1e-3, 1e-2])
def test_stripped_brain_in_noise_is_prepared(share):
    volume = brain()
    data = volume.data + np.random.default_rng(0).normal(0, share * 100, GRID.shape)
    recognition = recognise_kind({Modality.T1: Volume(data.astype(np.float32), GRID), Modality.T2: volume})
    assert recognition.kind is InputKind.PREPARED
    assert recognition.evidence[1] == (
        "T1: 82% of the voxels are background, and 0.75 L are not: skull-stripped (background with noise)."
    )


def test_slab_of_head_in_quiet_air_is_raw():
    """A disk of 2 x 72 mm is 1.2 L, which fits a brain, but its section of 248 cm2 does not."""
    grid = Grid((30, 30, 8), GRID.affine)
    at = np.indices(grid.shape)[:2] - 14.5
    disk = np.where((at**2).sum(axis=0) < 11.2**2, 100.0, 0.0)
    disk[:, :, :1] = disk[:, :, 6:] = 0
    data = disk + np.random.default_rng(0).normal(0, 0.5, grid.shape)
    (stripped, why) = detect_stripped(Volume(data.astype(np.float32), grid))
    assert not stripped
    assert "the largest axial section has 25" in why


def test_noise_around_head_means_raw():
    recognition = recognise_kind({Modality.T1: brain(), Modality.FLAIR: noisy()})
    assert recognition.kind is InputKind.RAW
    assert recognition.stripped == {Modality.T1}
    assert recognition.evidence[2] == (
        "FLAIR: the background varies by 2.8% of the intensity range, like air around a head: with skull."
    )


def test_whole_head_in_air_of_zero_is_raw():
    """A radius of 9.9 voxels of 8 mm gives 3.9 L inside zeros, which a scanner may write for air."""
    wide = Grid((28, 28, 28), GRID.affine)
    recognition = recognise_kind({Modality.T1: brain(wide, radius=11)})
    assert recognition.kind is InputKind.RAW
    assert "more than the volume of a brain" in recognition.evidence[1]


def test_volume_cropped_to_brain_box_is_stripped():
    """A ball fills half of its box, and an ellipsoid with a flat base more.

    Up to 0.8 counts if the corners are empty.
    """
    cut = Grid((15, 15, 11), GRID.affine)
    volume = brain(cut, radius=7.6)
    assert recognise_kind({Modality.T1: volume}).kind is InputKind.PREPARED


def test_stripped_sequences_on_different_grids_are_raw():
    other = Grid((20, 20, 20), np.array([[8, 0, 0, 4], [0, 8, 0, 0], [0, 0, 8, 0], [0, 0, 0, 1.0]]))
    recognition = recognise_kind({Modality.T1: brain(), Modality.T2: brain(other)})
    assert recognition.kind is InputKind.RAW
    assert recognition.evidence[0] == "The 2 sequences have 2 different grids."
    assert len(recognition.stripped) == 2


def test_choice_of_user_takes_precedence_and_is_reported():
    recognition = recognise_kind({Modality.T1: brain()}, InputKind.RAW)
    assert recognition.kind is InputKind.RAW
    assert recognition.evidence[-1] == "The input looks prepared, but is treated as raw, as requested."
