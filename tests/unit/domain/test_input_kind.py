"""Whether an input is prepared or raw, told from its voxels and geometry."""

import numpy as np

from brats_mm.domain.input_kind import InputKind, recognise_kind
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


def test_stripped_sequences_on_one_grid_are_prepared_and_the_evidence_says_so():
    found = recognise_kind({Modality.T1: brain(), Modality.T2: brain(value=50)})
    assert found.kind is InputKind.PREPARED
    assert found.stripped == {Modality.T1, Modality.T2}
    assert found.evidence[0] == "The 2 sequences lie on one grid."
    assert found.evidence[1] == "T1: 82% of the voxels are background, and 0.75 L are not: skull-stripped."


def test_a_shifted_background_is_a_background():
    assert recognise_kind({Modality.T1: brain(value=3.0, background=-0.5)}).kind is InputKind.PREPARED


def test_noise_around_the_head_means_raw():
    found = recognise_kind({Modality.T1: brain(), Modality.FLAIR: noisy()})
    assert found.kind is InputKind.RAW
    assert found.stripped == {Modality.T1}
    assert found.evidence[2] == "FLAIR: 0% of the voxels are background, so the skull is still there."


def test_air_of_exactly_zero_around_a_whole_head_means_raw_all_the_same():
    """9.9 voxels of 8 mm: 3.9 L inside zeros, which a scanner may write for air."""
    wide = Grid((28, 28, 28), GRID.affine)
    found = recognise_kind({Modality.T1: brain(wide, radius=11)})
    assert found.kind is InputKind.RAW
    assert "more than a brain has" in found.evidence[1]


def test_a_volume_cut_to_the_brain_s_box_is_still_stripped():
    """A ball fills half of its box; an ellipsoid with a flat base more, so up to 0.8 counts if the corners are empty."""
    cut = Grid((15, 15, 11), GRID.affine)
    volume = brain(cut, radius=7.6)
    assert recognise_kind({Modality.T1: volume}).kind is InputKind.PREPARED


def test_different_grids_mean_raw_though_every_sequence_is_stripped():
    other = Grid((20, 20, 20), np.array([[8, 0, 0, 3], [0, 8, 0, 0], [0, 0, 8, 0], [0, 0, 0, 1.0]]))
    found = recognise_kind({Modality.T1: brain(), Modality.T2: brain(other)})
    assert found.kind is InputKind.RAW
    assert found.evidence[0] == "The 2 sequences lie on 2 different grids."
    assert len(found.stripped) == 2


def test_what_the_user_says_counts_and_is_told():
    found = recognise_kind({Modality.T1: brain()}, InputKind.RAW)
    assert found.kind is InputKind.RAW
    assert found.evidence[-1] == "This looks prepared, and is taken as raw because that was asked for."
