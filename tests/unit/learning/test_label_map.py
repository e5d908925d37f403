"""Corrected label maps are read on the grid of their image, or rejected in one sentence."""

import nibabel as nib
import numpy as np
import pytest

from brats_mm.domain.volume import Grid
from brats_mm.errors import GridError, InputError, OptionError, VolumeError
from brats_mm.learning.label_map import find_values_by_name, measure_compartment_volumes_ml, read_correction

AFFINE = np.diag([2.0, 1.0, 1.0, 1.0])
GRID = Grid((8, 9, 10), AFFINE)


def saved(tmp_path, labels, affine=AFFINE):
    path = tmp_path / "label.nii.gz"
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


def some_labels():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 1, 1], labels[2, 2, 2], labels[3, 3, 3] = 1, 2, 3
    return labels


def test_values_one_to_three_are_kept(tmp_path):
    assert np.array_equal(read_correction(saved(tmp_path, some_labels()), GRID, {}), some_labels())


def test_named_labels_are_translated(tmp_path):
    named = find_values_by_name(
        [{"name": "background", "idx": 0}, {"name": "Enhancing tumor", "idx": 1}, {"name": "necrosis", "idx": 3}]
    )
    assert named == {1: 3, 3: 1}
    read = read_correction(saved(tmp_path, some_labels()), GRID, named)
    assert (read[1, 1, 1], read[2, 2, 2], read[3, 3, 3]) == (3, 2, 1)


def test_map_with_reversed_axis_is_reordered(tmp_path):
    turned = np.diag([-2.0, 1.0, 1.0, 1.0])
    turned[0, 3] = 14.0  # the first axis is reversed
    path = saved(tmp_path, some_labels()[::-1], turned)
    assert np.array_equal(read_correction(path, GRID, {}), some_labels())


def test_larger_map_on_same_lattice_is_cropped_if_no_label_is_lost(tmp_path):
    larger = np.zeros((8, 9, 12), np.uint8)
    larger[:, :, :10] = some_labels()
    assert np.array_equal(read_correction(saved(tmp_path, larger), GRID, {}), some_labels())


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (np.zeros(GRID.shape, np.uint8), VolumeError, "no voxel has a label"),
        (np.full(GRID.shape, 4, np.uint8), VolumeError, "has the values 4. Use 1 for necrosis"),
        (np.full(GRID.shape, 0.5, np.float32), VolumeError, "labels are integers"),
        (np.full(GRID.shape, np.nan, np.float32), VolumeError, "labels are integers"),
        (np.full(GRID.shape, 65537, np.int32), VolumeError, "labels are integers up to 32767"),
        (np.ones((8, 9, 11), np.uint8), GridError, "is on a different grid than the images"),
    ],
)
def test_rejects_maps_that_do_not_fit(tmp_path, labels, error, words):
    with pytest.raises(error, match=words):
        read_correction(saved(tmp_path, labels), GRID, {})


def test_rejects_damaged_file(tmp_path):
    path = saved(tmp_path, some_labels())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged or truncated"):
        read_correction(path, GRID, {})


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"name": "liver", "idx": 1}], "Unknown label 'liver'"),
        ([{"name": "edema", "idx": 1}, {"name": "necrosis", "idx": 1}], "Two labels have the value 1"),
        ([{"name": "edema"}], "has no name or no integer idx"),
        (["edema"], "has no name or no integer idx"),
    ],
)
def test_rejects_unknown_label_names(entries, words):
    with pytest.raises(OptionError, match=words):
        find_values_by_name(entries)


def test_volumes_are_in_millilitres():
    assert measure_compartment_volumes_ml(some_labels(), GRID.voxel_ml) == {"ncr": 0.002, "ed": 0.002, "et": 0.002}
