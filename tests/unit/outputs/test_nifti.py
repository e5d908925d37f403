"""Written NIfTI files have the grid and header geometry of the input."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from brats_mm.domain.volume import Grid
from brats_mm.errors import OutputError
from brats_mm.io.volume import read_volume
from brats_mm.outputs.nifti import write_labels, write_map

SHAPE = (9, 10, 11)
GREY = np.random.default_rng(7).normal(100, 20, SHAPE).astype(np.float32)
LABELS = np.random.default_rng(8).integers(0, 4, SHAPE).astype(np.uint8)
TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
ROTATIONS = {
    "ras": np.eye(3),
    "lps": np.diag([-1.0, -1, 1]),
    "left handed": np.diag([-1.0, 1, 1]),
    "flipped": np.diag([1.0, -1, -1]),
    "oblique": TURN,
    "oblique left handed": TURN[:, ::-1],
    "axes swapped": np.eye(3)[:, [2, 0, 1]],
}
CODES = [(1, 1), (2, 0), (0, 1), (0, 0), (4, 2)]


def input_file(path, rotation, sform_code, qform_code, *, qform_offset=0.0):
    """Write a NIfTI file with unusual spacing and offset."""
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([0.9, 1.1, 2.3])
    affine[:3, 3] = (-90.1, 126.7, -72.3)
    image = nib.Nifti1Image(GREY, affine)
    image.set_sform(affine, sform_code)
    affine[0, 3] += qform_offset
    image.set_qform(affine, qform_code)
    image.to_filename(path)
    return nib.load(path).header


@pytest.mark.parametrize(("sform_code", "qform_code"), CODES)
@pytest.mark.parametrize("rotation", ROTATIONS.values(), ids=ROTATIONS.keys())
def test_header_geometry_is_preserved(tmp_path, rotation, sform_code, qform_code):
    """Affine and sform are bit-identical, the qform equals to float32 precision, and the codes are equal."""
    before = input_file(tmp_path / "in.nii", rotation, sform_code, qform_code)

    write_labels(tmp_path / "out.nii.gz", LABELS, read_volume(tmp_path / "in.nii").grid)

    after = nib.load(tmp_path / "out.nii.gz").header
    for field in ("srow_x", "srow_y", "srow_z", "sform_code", "qform_code"):
        np.testing.assert_array_equal(before[field], after[field])
    if sform_code:
        np.testing.assert_array_equal(before.get_best_affine(), after.get_best_affine())
    np.testing.assert_allclose(before.get_best_affine(), after.get_best_affine(), atol=1e-5)
    np.testing.assert_allclose(before.get_qform(), after.get_qform(), atol=1e-5)
    np.testing.assert_allclose(before.get_zooms(), after.get_zooms(), rtol=1e-6)


def test_qform_that_differs_from_sform_is_preserved(tmp_path):
    before = input_file(tmp_path / "in.nii", np.eye(3), 1, 1, qform_offset=25.0)

    write_labels(tmp_path / "out.nii", LABELS, read_volume(tmp_path / "in.nii").grid)

    after = nib.load(tmp_path / "out.nii").header
    np.testing.assert_array_equal(before.get_sform(), after.get_sform())
    np.testing.assert_allclose(before.get_qform(), after.get_qform(), atol=1e-5)


def test_grid_without_matrices_is_written_from_its_affine(tmp_path):
    """Grids of other formats have only codes and an affine."""
    affine = np.diag([-1.0, -1, 2, 1])

    write_labels(tmp_path / "out.nii.gz", LABELS, Grid(SHAPE, affine, 1, 1))

    image = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(image.get_sform(), affine)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-6)


def test_labels_round_trip(tmp_path):
    """As uint8 without scaling, with the label intent."""
    write_labels(tmp_path / "out.nii.gz", LABELS, Grid(SHAPE, np.eye(4)))

    image = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), LABELS)
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_intent()[0] == "label"
    assert image.header.get_xyzt_units()[0] == "mm"


def test_map_has_description_unit_and_display_range(tmp_path):
    """Stored with two bytes per voxel."""
    data = np.linspace(0, 0.693147, 990).reshape(SHAPE).astype(np.float32)

    write_map(
        tmp_path / "m.nii", data, Grid(SHAPE, np.eye(4)), description="entropy ET, nats, 0..0.693147", maximum=0.693147
    )

    image = nib.load(tmp_path / "m.nii")
    assert image.header["descrip"].item() == b"entropy ET, nats, 0..0.693147"
    np.testing.assert_allclose([image.header["cal_min"], image.header["cal_max"]], [0, 0.693147], atol=1e-6)
    assert (tmp_path / "m.nii").stat().st_size == 352 + 990 * 2
    np.testing.assert_allclose(image.get_fdata(), data, atol=1e-5)


def test_long_description_is_truncated(tmp_path):
    """The NIfTI header holds 80 bytes."""
    write_map(tmp_path / "m.nii", GREY, Grid(SHAPE, np.eye(4)), description="x" * 99, maximum=200.0)

    assert nib.load(tmp_path / "m.nii").header["descrip"].item() == b"x" * 80


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    data=hnp.arrays(np.float32, (8, 8, 8), elements=st.floats(0, 1, width=32)),
    maximum=st.sampled_from([1.0, np.log(2), np.log(4)]),
)
def test_map_values_round_trip_within_half_a_step(tmp_path_factory, data, maximum):
    """Half a step is maximum / 131070."""
    path = tmp_path_factory.mktemp("map") / "m.nii"
    expected = data * np.float32(maximum)

    write_map(path, expected, Grid((8, 8, 8), np.eye(4)), description="map", maximum=float(maximum))

    np.testing.assert_allclose(nib.load(path).get_fdata(), expected, atol=maximum / 131070 + 2e-7)


def test_values_out_of_range_are_clipped(tmp_path):
    """They never wrap around."""
    data = np.zeros(SHAPE, np.float32)
    data[0, 0, :2] = (1.5, -0.5)

    write_map(tmp_path / "m.nii", data, Grid(SHAPE, np.eye(4)), description="map", maximum=1.0)

    np.testing.assert_allclose(nib.load(tmp_path / "m.nii").get_fdata()[0, 0, :2], (1, 0), atol=1e-6)


def test_same_input_gives_same_bytes(tmp_path):
    """The file holds no time stamp and no name."""
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, LABELS, Grid(SHAPE, np.eye(4)))

    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_missing_folder_raises_output_error(tmp_path):
    with pytest.raises(OutputError, match="Cannot write to"):
        write_labels(tmp_path / "none" / "a.nii.gz", LABELS, Grid(SHAPE, np.eye(4)))
