"""Corruptions of a case: their effect on images, and unchanged background and labels."""

import numpy as np
import pytest

from benchmarks.corruptions import SHIFTS, biased, misregistered, noisy, reoriented, rescaled, thick_slices
from brats_mm.domain.case import Case
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region
from brats_mm.domain.volume import Grid, Volume


def _case() -> Case:
    """Return a ball of radius 9 with an intensity ramp, in T1 and FLAIR, with LPS axes and 1 x 1 x 2 mm."""
    grid = Grid((24, 26, 28), np.diag([-1.0, -1.0, 2.0, 1.0]))
    at = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    ball = np.linalg.norm(at - (12, 13, 14), axis=-1) < 9
    voxels = (ball * (100 + at[..., 2])).astype(np.float32)
    volumes = {modality: Volume(voxels.copy(), grid) for modality in (Modality.T1, Modality.FLAIR)}
    return Case("made", volumes, grid)


MASKS = {region: _case().volumes[Modality.T1].data > 110 for region in Region}


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
def test_every_corruption_keeps_sequences_shapes_and_background(shift):
    changed, masks = shift.apply(_case(), MASKS, np.random.default_rng(0))

    assert changed.available == {Modality.T1, Modality.FLAIR}
    for volume in changed.volumes.values():
        assert volume.data.shape == changed.grid.shape == masks[Region.WT].shape
        assert volume.data.dtype == np.float32
        assert volume.data.flat[0] == 0
        assert np.isfinite(volume.data).all()


def test_reorientation_keeps_patient_positions():
    case = _case()
    changed, masks = reoriented("PIR").apply(case, MASKS, np.random.default_rng(0))

    index = np.argwhere(case.volumes[Modality.T1].data > 120)[0]
    place = case.grid.affine @ [*index, 1]
    there = np.rint(np.linalg.inv(changed.grid.affine) @ place).astype(int)[:3]
    assert changed.volumes[Modality.T1].data[tuple(there)] == case.volumes[Modality.T1].data[tuple(index)]
    assert masks[Region.WT].sum() == MASKS[Region.WT].sum()
    assert masks[Region.WT][tuple(there)]


def test_rounding_never_turns_brain_into_background():
    case = _case()
    changed, _ = rescaled("bytes", 255.0, integer=True).apply(case, MASKS, np.random.default_rng(0))

    voxels = changed.volumes[Modality.T1].data
    assert voxels.max() == 255
    assert np.array_equal(voxels, np.rint(voxels))
    assert np.array_equal(voxels != 0, case.volumes[Modality.T1].data != 0)


def test_shift_moves_all_sequences_except_flair():
    case = _case()
    changed, _ = misregistered(4.0, 0.0).apply(case, MASKS, np.random.default_rng(0))

    assert np.array_equal(changed.volumes[Modality.FLAIR].data, case.volumes[Modality.FLAIR].data)
    centres = [
        np.argwhere(volume.data != 0).mean(axis=0)
        for volume in (case.volumes[Modality.T1], changed.volumes[Modality.T1])
    ]
    moved_mm = (centres[1] - centres[0]) * case.grid.spacing_mm
    assert np.linalg.norm(moved_mm) == pytest.approx(4, abs=0.3)


def test_noise_has_named_strength():
    case = _case()
    changed, _ = noisy(0.05).apply(case, MASKS, np.random.default_rng(0))

    before, after = case.volumes[Modality.T1].data, changed.volumes[Modality.T1].data
    inside = before != 0
    assert (after - before)[inside].std() == pytest.approx(0.05 * before[inside].mean(), rel=0.1)


def test_bias_field_is_bounded_and_differs_between_sequences():
    case = _case()
    changed, _ = biased(0.2).apply(case, MASKS, np.random.default_rng(0))

    inside = case.volumes[Modality.T1].data != 0
    t1, flair = (changed.volumes[m].data[inside] / case.volumes[m].data[inside] for m in (Modality.T1, Modality.FLAIR))
    assert np.abs(t1 - 1).max() <= 0.2 + 1e-6
    assert np.abs(t1 - flair).max() > 0.02


def test_thick_slices_average_along_last_axis_inside_brain():
    case = _case()
    changed, _ = thick_slices(8.0).apply(case, MASKS, np.random.default_rng(0))

    before, after = (c.volumes[Modality.T1].data[12, 13, 8:20] for c in (case, changed))
    assert np.abs(np.diff(after, n=2)).max() < 2
    assert np.abs(after - before).max() < 4
