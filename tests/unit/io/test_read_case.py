"""The volumes of a case are read together, and all faults are reported together."""

import nibabel as nib
import numpy as np
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError, GridError, VolumeError
from brats_mm.io.case import build_case, build_explicit_case, find_case, read_case, read_scans

T1, T1CE, T2, FLAIR = Modality
SHAPE = (12, 12, 12)


def brain(seed):
    """Return grey values in the middle, surrounded by zeros."""
    data = np.zeros(SHAPE, np.float32)
    data[3:9, 3:9, 3:9] = np.random.default_rng(seed).uniform(50, 150, (6, 6, 6))
    return data


def save(folder, name, data, affine=None):
    """Write a NIfTI file with an sform."""
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    image.set_sform(image.affine, 1)
    image.to_filename(folder / f"x_{name}.nii.gz")


def shifted(offset_mm):
    """Return a slightly shifted affine."""
    affine = np.eye(4)
    affine[0, 3] = offset_mm
    return affine


def test_case_has_grid_of_first_sequence(tmp_path):
    """First in channel order. A shift below the tolerance is header noise."""
    save(tmp_path, "flair", brain(1))
    save(tmp_path, "t1ce", brain(2), shifted(0.0005))

    case = read_case(find_case(tmp_path))

    assert list(case.volumes) == [T1CE, FLAIR]
    np.testing.assert_array_equal(case.grid.affine, case.volumes[T1CE].grid.affine)
    np.testing.assert_array_equal(case.volumes[FLAIR].data, brain(1))
    assert case.warnings == ()
    assert (case.name, case.missing) == (tmp_path.name, {T1, T2})


@pytest.mark.parametrize("offset_mm", [0.05, 0.3, 0.45])
def test_shift_below_half_a_voxel_is_tolerated_and_reported(tmp_path, offset_mm):
    """The voxels are unchanged."""
    save(tmp_path, "t1", brain(1))
    save(tmp_path, "t2", brain(2), shifted(offset_mm))

    case = read_case(find_case(tmp_path))

    assert case.warnings[0].startswith(f"T2 is {offset_mm:.3f} mm off the case's grid")
    np.testing.assert_array_equal(case.volumes[T2].data, brain(2))
    with pytest.raises(GridError):
        build_case(read_scans(find_case(tmp_path)), tolerance=0.04)


def test_other_axis_order_direction_or_crop_is_reversed_exactly(tmp_path):
    """FLAIR is stored LPS and without its outer voxels."""
    save(tmp_path, "t1", brain(1))
    image = nib.Nifti1Image(brain(2), np.eye(4)).slicer[1:-1, 2:, :-1]
    turned = image.as_reoriented(nib.orientations.axcodes2ornt(("L", "S", "P")) * [1, 1])
    save(tmp_path, "flair", turned.get_fdata(dtype=np.float32), turned.affine)

    case = read_case(find_case(tmp_path))

    np.testing.assert_array_equal(case.volumes[FLAIR].data, brain(2))
    assert case.warnings == ()


@pytest.mark.parametrize("affine", [shifted(0.5), np.diag([-1.0, -1, 1, 1]), np.diag([1.0, 1, 1.05, 1])])
def test_rejects_different_grids(tmp_path, affine):
    """The message has each file's shape, spacing, orientation and offset, and the remedy."""
    save(tmp_path, "t1", brain(1))
    save(tmp_path, "t2", brain(2), affine)

    with pytest.raises(GridError, match="have different grids") as error:
        read_case(find_case(tmp_path))
    assert "T1 (x_t1.nii.gz) has 12 x 12 x 12 voxels of 1 x 1 x 1 mm, orientation RAS, offset (0, 0, 0) mm" in str(
        error.value
    )
    assert "Register and resample them" in str(error.value)


def test_rejects_different_shapes(tmp_path):
    """The message has both shapes. T2 has another spacing."""
    save(tmp_path, "t1", brain(1))
    save(tmp_path, "t2", brain(2)[:, :, :-1], np.diag([1, 1, 12 / 11, 1]))

    with pytest.raises(GridError, match=r"12 x 12 x 12 voxels.*12 x 12 x 11 voxels"):
        read_case(find_case(tmp_path))


def test_all_faults_are_reported_together(tmp_path):
    """Two invalid files and a different grid give one error."""
    save(tmp_path, "t1", brain(1) * 0)
    (tmp_path / "x_t1ce.nii.gz").write_bytes(b"nothing")
    save(tmp_path, "t2", brain(2))
    save(tmp_path, "flair", brain(3), shifted(5.5))

    with pytest.raises(VolumeError, match=r"x_t1\.nii\.gz is 0 everywhere") as error:
        read_case(find_case(tmp_path))
    assert "x_t1ce.nii.gz is not a NIfTI volume" in str(error.value)
    assert "have different grids: T2" in str(error.value)


def test_rejects_same_image_under_two_names(tmp_path):
    """A copy with another name is recognised by its voxels."""
    save(tmp_path, "t1", brain(1))
    save(tmp_path, "t1ce", brain(1))

    with pytest.raises(CaseError, match=r"T1 \(x_t1.nii.gz\) and T1ce \(x_t1ce.nii.gz\) have identical voxels"):
        read_case(find_case(tmp_path))


def test_warns_of_skull(tmp_path):
    """Most voxels are not background."""
    save(tmp_path, "flair", np.random.default_rng(1).uniform(1, 9, SHAPE).astype(np.float32))

    (warning,) = read_case(find_case(tmp_path)).warnings

    assert warning.startswith("FLAIR does not look skull-stripped")


@pytest.mark.parametrize("background", [0, -3])
def test_stripped_volume_gives_no_warning(tmp_path, background):
    """Also if the background is not 0."""
    save(tmp_path, "t1", brain(1) + background)

    assert read_case(find_case(tmp_path)).warnings == ()


def test_header_warnings_name_sequence_not_file(tmp_path):
    """Neither matrix has a code. Warnings are in the report, and a file can be named after a patient."""
    image = nib.Nifti1Image(brain(1), np.eye(4))
    image.set_sform(None)
    image.set_qform(None)
    image.to_filename(tmp_path / "t1.nii")

    (warning,) = read_case(build_explicit_case({T1: tmp_path / "t1.nii"})).warnings

    assert warning.startswith("T1: the header does not define the position of the volume")


def test_error_names_missing_file(tmp_path):
    """The message contains the path."""
    with pytest.raises(VolumeError, match=r"none\.nii does not exist"):
        read_case(build_explicit_case({T1: tmp_path / "none.nii"}))


def smooth(seed):
    """Return a larger brain, so that enough voxels are compared."""
    data = np.zeros((32, 32, 32), np.float32)
    data[4:28, 4:28, 4:28] = np.random.default_rng(seed).uniform(50, 150, (24, 24, 24))
    return data


def test_warns_of_scaled_copy_under_other_name(tmp_path):
    save(tmp_path, "t1", smooth(1))
    save(tmp_path, "t2", np.where(smooth(1) > 0, smooth(1) * 3.7 + 20, 0).astype(np.float32))
    save(tmp_path, "flair", smooth(2))

    (warning,) = read_case(find_case(tmp_path)).warnings

    assert warning.startswith("T1 and T2 are the same image except for scale")


def test_warns_of_inverted_contrast(tmp_path):
    """With a negative slope, the background of 0 is the brightest value."""
    save(tmp_path, "t1", -smooth(1))

    (warning,) = read_case(find_case(tmp_path)).warnings

    assert warning.startswith("T1 is darker than its background almost everywhere")


def test_warns_of_soft_mask_given_as_sequence(tmp_path):
    """The mask is 1 inside and lower at the edge."""
    mask = (smooth(1) > 0).astype(np.float32)
    mask[4], mask[27] = mask[4] * 0.3, mask[27] * 0.7
    save(tmp_path, "flair", mask)

    (warning,) = read_case(find_case(tmp_path)).warnings

    assert warning.startswith("FLAIR looks like a mask")
