"""NIfTI headers in metres or micrometres are read in millimetres, from files and in memory."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage

from brats_mm.data.checked_nifti import load_checked
from brats_mm.errors import VolumeError
from brats_mm.io.memory import to_volume
from brats_mm.io.reference_labels import read_labels
from brats_mm.io.volume import read_grid, read_volume

AFFINE_MM = np.array([[-1.0, 0, 0, 90], [0, -1, 0, 80], [0, 0, 2, -70], [0, 0, 0, 1]])
GREY = np.random.default_rng(0).integers(1, 900, (10, 9, 8)).astype(np.int16)


def image(unit, mm_per_unit, *, codes=(1, 1), kind=nib.Nifti1Image):
    """Return a volume of 1 x 1 x 2 mm whose header counts in another unit."""
    affine = np.diag([1 / mm_per_unit] * 3 + [1]) @ AFFINE_MM
    one = kind(GREY, affine)
    one.set_sform(affine, codes[0])
    one.set_qform(affine, codes[1])
    one.header.set_xyzt_units(unit, "sec")
    return one


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img"])
@pytest.mark.parametrize(("unit", "mm", "name"), [("meter", 1e3, "metres"), ("micron", 1e-3, "micrometres")])
def test_lengths_are_converted_with_note(tmp_path, unit, mm, name, suffix):
    path = tmp_path / f"t1{suffix}"
    kind = nib.Nifti1Pair if suffix == ".img" else nib.Nifti1Image
    image(unit, mm, kind=kind).to_filename(path)

    volume = read_volume(path)

    np.testing.assert_allclose(volume.grid.affine, AFFINE_MM, atol=1e-4)
    np.testing.assert_allclose(volume.grid.qform, AFFINE_MM, atol=1e-4)
    np.testing.assert_array_equal(volume.data, GREY)
    assert volume.notes == (f"the lengths of the header are in {name} and are converted to millimetres",)
    np.testing.assert_allclose(read_grid(path).spacing_mm, (1, 1, 2), atol=1e-5)


@pytest.mark.parametrize("codes", [(0, 1), (1, 0), (0, 0)])
def test_unit_applies_to_every_matrix_of_the_header(tmp_path, codes):
    image("micron", 1e-3, codes=codes).to_filename(tmp_path / "t1.nii.gz")

    np.testing.assert_allclose(read_grid(tmp_path / "t1.nii.gz").spacing_mm, (1, 1, 2), atol=1e-5)


@pytest.mark.parametrize(("unit", "name"), [("meter", "metres"), ("micron", "micrometres")])
def test_impossible_unit_is_ignored_with_note(tmp_path, unit, name):
    """A program wrote lengths in millimetres, and a wrong unit."""
    image(unit, 1).to_filename(tmp_path / "t1.nii.gz")

    volume = read_volume(tmp_path / "t1.nii.gz")

    np.testing.assert_allclose(volume.grid.affine, AFFINE_MM)
    assert volume.notes == (
        f"the unit of the header is {name}, but voxels of 1 x 1 x 2 {name} are impossible, so the lengths are read as "
        "millimetres",
    )


@pytest.mark.parametrize("unit", ["mm", "unknown"])
def test_millimetres_need_no_note(tmp_path, unit):
    image(unit, 1).to_filename(tmp_path / "t1.nii.gz")

    assert read_volume(tmp_path / "t1.nii.gz").notes == ()


def test_lengths_impossible_in_both_units_are_refused(tmp_path):
    image("micron", 1e6).to_filename(tmp_path / "t1.nii.gz")

    with pytest.raises(VolumeError, match=r"voxel spacing of 1e-06 x 1e-06 x 2e-06 mm"):
        read_volume(tmp_path / "t1.nii.gz")


def test_images_in_memory_are_converted(tmp_path):
    image("micron", 1e-3).to_filename(tmp_path / "t1.nii.gz")

    for given in (image("micron", 1e-3), LoadImage(image_only=True)(tmp_path / "t1.nii.gz")):
        volume = to_volume(given, "t1")
        np.testing.assert_allclose(volume.grid.affine, AFFINE_MM, atol=1e-4)
        assert volume.notes == ("the lengths of the header are in micrometres and are converted to millimetres",)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_training_reads_millimetres(tmp_path, suffix):
    path = tmp_path / f"t1{suffix}"
    image("micron", 1e-3).to_filename(path)

    read = load_checked(path)

    np.testing.assert_allclose(read.affine, AFFINE_MM, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(read.dataobj), GREY)
    assert read.header.get_xyzt_units() == ("mm", "sec")


def test_label_map_in_micrometres_fits_images_in_millimetres(tmp_path):
    labels = nib.Nifti1Image((GREY % 3).astype(np.uint8), image("micron", 1e-3).affine)
    labels.header.set_xyzt_units("micron")
    (tmp_path / "seg.nii.gz").write_bytes(gzip.compress(labels.to_bytes()))
    image("mm", 1).to_filename(tmp_path / "t1.nii.gz")

    read = read_labels(tmp_path / "seg.nii.gz", read_grid(tmp_path / "t1.nii.gz"))

    np.testing.assert_array_equal(np.asarray(read), GREY % 3)
