"""Reference label maps are reordered to the grid of their images without changing a label."""

import nibabel as nib
import numpy as np
import pytest

from brats_mm.domain.regions import Region
from brats_mm.domain.volume import Grid
from brats_mm.errors import GridError
from brats_mm.io.reference_labels import read_reference

LPS = np.array([[-1, 0, 0, 20], [0, -1, 0, 30], [0, 0, 1.5, -10], [0, 0, 0, 1.0]])
GRID = Grid((16, 18, 10), LPS)


def labels():
    data = np.zeros(GRID.shape, np.uint8)
    data[4:10, 5:12, 3:7] = 2
    data[5:8, 6:9, 4:6] = 1
    data[6, 7, 4] = 3
    return data


def test_ras_map_is_reordered_to_lps_images(tmp_path):
    uninterrupted, turned = tmp_path / "lps.nii.gz", tmp_path / "ras.nii.gz"
    nib.save(nib.Nifti1Image(labels(), LPS), uninterrupted)
    nib.save(nib.as_closest_canonical(nib.Nifti1Image(labels(), LPS)), turned)
    assert nib.aff2axcodes(nib.load(turned).affine) == ("R", "A", "S")
    expected, actual = read_reference(uninterrupted, GRID), read_reference(turned, GRID)
    for region in Region:
        np.testing.assert_array_equal(actual[region], expected[region])
    assert int(actual[Region.ET].sum()) == 1
    assert bool(actual[Region.ET][6, 7, 4])


def test_cropped_map_is_padded_with_background(tmp_path):
    nib.save(nib.Nifti1Image(labels(), LPS).slicer[2:-2, 3:, 1:], tmp_path / "cut.nii.gz")
    actual = read_reference(tmp_path / "cut.nii.gz", GRID)
    np.testing.assert_array_equal(actual[Region.WT], labels() > 0)


@pytest.mark.parametrize("voxels", [0.5, 8.0])
def test_rejects_map_between_voxels_or_too_large(tmp_path, voxels):
    affine = LPS.copy()
    affine[:3, 3] += LPS[:3, 0] * voxels
    nib.save(nib.Nifti1Image(labels(), affine), tmp_path / "off.nii.gz")
    with pytest.raises(GridError, match=r"16 x 18 x 10 voxels, orientation LPS, offset .* instead of 16 x 18 x 10"):
        read_reference(tmp_path / "off.nii.gz", GRID)


def test_nan_around_the_labels_is_background(tmp_path):
    """Masking tools divide by a mask."""
    nib.save(
        nib.Nifti1Image(np.where(labels() == 0, np.nan, labels()).astype(np.float32), LPS), tmp_path / "nan.nii.gz"
    )
    actual = read_reference(tmp_path / "nan.nii.gz", GRID)
    np.testing.assert_array_equal(actual[Region.WT], labels() > 0)
