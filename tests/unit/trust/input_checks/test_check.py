"""Checks for images that are not scans or brains, are rotated, or have wrong names."""

from dataclasses import replace

import numpy as np
import pytest

from brats_mm.domain.lattice import unify_grids
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume
from brats_mm.trust.input_checks.check import Check, check_inputs, find_input_warnings, measure_flat_share
from brats_mm.trust.input_checks.coarse import CoarseImage
from brats_mm.trust.input_checks.contrast import ContrastModel
from brats_mm.trust.input_checks.reference import load_default_reference, save_reference

T1, T1CE, T2, FLAIR = Modality


@pytest.fixture(scope="module")
def brain():
    """The mean brain of the checks at 8 mm a voxel, 1.3 L, with random grey values."""
    mean = np.pad(load_default_reference().mean_brain, 2)
    inside = mean > 0.5
    values = np.random.default_rng(0).normal(100, 15, inside.shape).astype(np.float32)
    spacing = (1.3e6 / np.count_nonzero(inside)) ** (1 / 3)
    grid = Grid(inside.shape, np.diag([spacing, spacing, spacing, 1.0]))
    return Volume(np.where(inside, values, 0), grid)


def seen_as(modality):
    """Return a reference whose contrast model reports the same contrast for every image."""
    reference = load_default_reference()
    bias = np.where(np.arange(4) == modality.channel, 100.0, 0.0)
    return replace(reference, contrast=ContrastModel(np.zeros_like(reference.contrast.weights), bias))


def warnings_of(volumes, reference=None):
    return {one.check: one.warning for one in check_inputs(volumes, reference) if one.warning is not None}


def test_correctly_named_brain_gives_no_warning(brain):
    findings = check_inputs({T2: brain}, seen_as(T2))
    assert [one.check for one in findings] == [Check.FLAT, Check.SHAPE, Check.TURN, Check.FRONT, Check.SWAP]
    assert [one.warning for one in findings] == [None] * 5


def test_rounded_spacing_does_not_stop_check(brain):
    """Headers that differ by a rounding give other numbers of samples every 4 mm if each keeps its own grid."""
    grids = [Grid(brain.grid.shape, np.diag([8 * k, 8 * k, 8 * k, 1.0])) for k in (1, 1 - 1e-6, 1 + 1e-6)]
    exact, below, above = (Volume(brain.data, grid) for grid in grids)
    assert warnings_of(unify_grids({T1: below, T2: above}).volumes) == warnings_of({T1: exact, T2: exact})


def test_wrong_name_warning_states_likely_sequence(brain):
    assert warnings_of({FLAIR: brain}, seen_as(T2)) == {
        Check.SWAP: "The image given as FLAIR looks like T2. Check that each sequence was given under its own name."
    }


def test_warns_of_rotated_head(brain):
    turned = Volume(np.ascontiguousarray(brain.data[:, ::-1]), brain.grid)
    message = warnings_of({T1: turned}, seen_as(T1))
    assert list(message) == [Check.TURN]
    assert "front and back swapped" in message[Check.TURN]


def test_head_stored_in_other_orientation_is_not_rotated(brain):
    """The same voxels, stored from front to back, with a matching header."""
    affine = brain.grid.affine @ np.diag([1.0, -1.0, 1.0, 1.0])
    stored = Volume(np.ascontiguousarray(brain.data[:, ::-1]), replace(brain.grid, affine=affine))
    assert warnings_of({T1: stored}, seen_as(T1)) == {}


def test_distinguishes_front_and_back_when_shape_does_not(brain):
    unsure = replace(seen_as(T1), turn_lead=1.0)
    assert warnings_of({T1: brain}, unsure) == {}
    turned = Volume(np.ascontiguousarray(brain.data[:, ::-1]), brain.grid)
    message = warnings_of({T1: turned}, unsure)
    assert list(message) == [Check.FRONT]
    assert message[Check.FRONT].startswith("Front and back appear swapped")
    assert "viewer" in message[Check.FRONT]


def test_distinguishes_front_and_back_in_part_of_brain(brain):
    """A similarity of 1 cannot be reached, so the shape counts as part of a brain."""
    unlike = replace(seen_as(T1), least_likeness=1.1)
    assert list(warnings_of({T1: brain}, unlike)) == [Check.SHAPE]
    turned = Volume(np.ascontiguousarray(brain.data[:, ::-1]), brain.grid)
    assert list(warnings_of({T1: turned}, unlike)) == [Check.SHAPE, Check.FRONT]


def test_half_a_brain_and_a_box_are_not_whole_brains(brain):
    half = Volume(np.where(np.arange(brain.data.shape[2]) < 10, brain.data, 0), brain.grid)
    box = np.zeros_like(brain.data)
    box[4:16, 4:16, 4:16] = np.random.default_rng(1).normal(100, 15, (12, 12, 12))
    for volume in (half, Volume(box, brain.grid)):
        message = warnings_of({T1: volume})
        assert list(message) == [Check.SHAPE]
        assert "do not have the shape of a whole brain" in message[Check.SHAPE]


def test_mask_is_reported_and_excluded_from_other_checks(brain):
    soft = np.where(brain.data != 0, 1.0, 0.0).astype(np.float32)
    soft[8:10] *= 0.9
    message = warnings_of({T1: brain, FLAIR: Volume(soft, brain.grid)}, seen_as(T1))
    assert list(message) == [Check.FLAT]
    assert message[Check.FLAT].startswith("FLAIR looks like a mask, a label map or a probability map")


def test_too_small_image_is_not_checked():
    tiny = Volume(np.pad(np.ones((4, 4, 4), np.float32), 4), Grid((12, 12, 12), np.eye(4)))
    assert check_inputs({T1: tiny}) == ()
    assert find_input_warnings({T1: tiny}) == ()


def test_share_of_few_grey_values_counts_four_fullest_of_256_bins():
    inside = np.ones((16, 16, 16), bool)
    ramp = np.arange(1, 4097, dtype=np.float32).reshape(inside.shape)
    assert measure_flat_share(CoarseImage(ramp, inside)) == pytest.approx(4 / 256, abs=0.006)
    assert measure_flat_share(CoarseImage(np.ones_like(ramp), inside)) == 1.0


def test_reference_round_trips_through_file(tmp_path, monkeypatch):
    path, reference = tmp_path / "reference.npz", load_default_reference()
    save_reference(reference, path)
    monkeypatch.setattr("brats_mm.trust.input_checks.reference.REFERENCE_FILE", path)
    read = load_default_reference.__wrapped__()
    assert np.array_equal(read.mean_brain, reference.mean_brain)
    assert np.array_equal(read.contrast.weights, reference.contrast.weights)
    assert (read.turn_lead, read.swap_lead) == (reference.turn_lead, reference.swap_lead)
