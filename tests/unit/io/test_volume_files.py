"""Volumes are read from accepted files, and each fault has a message."""

import gzip
import logging

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import BratsMMError, VolumeError
from brats_mm.io.volume import count_volumes, read_volume, warn_about_header

SHAPE = (9, 10, 11)
GREY = np.random.default_rng(7).normal(100, 20, SHAPE).astype(np.float32)


def save(path, data, affine=None, **fields):
    """Write a NIfTI file with any header fields, bypassing the checks of nibabel."""
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    image.header["magic"] = b"n+1"
    image.header["vox_offset"] = 352
    for name, value in fields.items():
        image.header[name] = value
    content = image.header.binaryblock + b"\0" * 4 + data.tobytes(order="F")
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def assert_refused(path, match):
    """Check that reading raises a VolumeError that names the file."""
    with pytest.raises(VolumeError, match=match) as caught:
        read_volume(path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_reads_nifti_voxels_and_geometry(tmp_path, name):
    """Voxels as float32, the unchanged affine, and both codes with their matrices."""
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    image = nib.Nifti1Image(GREY, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 3)
    image.to_filename(tmp_path / name.lower())
    (tmp_path / name.lower()).rename(tmp_path / name)

    volume = read_volume(tmp_path / name)

    np.testing.assert_array_equal(GREY, volume.data)
    assert np.float32 == volume.data.dtype
    np.testing.assert_array_equal(affine, volume.grid.affine)
    assert (volume.grid.sform_code, volume.grid.qform_code) == (1, 3)
    np.testing.assert_allclose(volume.grid.qform, affine, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float64", ">i2", ">f4"])
def test_stored_types_become_float32(tmp_path, dtype):
    """Integers and floats in either byte order."""
    data = np.arange(990).reshape(SHAPE) % 200
    nib.Nifti1Image(data.astype(dtype), np.eye(4), dtype=np.dtype(dtype)).to_filename(tmp_path / "a.nii")

    np.testing.assert_array_equal(data.astype(np.float32), read_volume(tmp_path / "a.nii").data)


def test_big_endian_header_is_read(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    nib.Nifti1Image(GREY, np.eye(4), header).to_filename(tmp_path / "a.nii")

    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").data, GREY)


def test_nifti2_is_read(tmp_path):
    nib.Nifti2Image(GREY, np.eye(4)).to_filename(tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(GREY, read_volume(tmp_path / "a.nii.gz").data)


def test_header_scaling_is_applied(tmp_path):
    """Grey value = slope x stored + intercept."""
    data = (np.arange(990).reshape(SHAPE)).astype(np.int16)
    save(tmp_path / "a.nii", data, scl_slope=0.5, scl_inter=10)

    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").data, data * 0.5 + 10)


def test_compression_is_detected_from_content(tmp_path):
    """An uncompressed file named .nii.gz is read."""
    save(tmp_path / "a.nii", GREY).rename(tmp_path / "a.nii.gz")

    np.testing.assert_array_equal(GREY, read_volume(tmp_path / "a.nii.gz").data)


def test_fourth_axis_of_one_is_dropped(tmp_path):
    """Some converters write x, y, z, 1."""
    save(tmp_path / "a.nii.gz", GREY[..., None])

    assert read_volume(tmp_path / "a.nii.gz").data.shape == SHAPE


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd"])
def test_itk_formats_are_converted_to_ras(tmp_path, name):
    """ITK's geometry is LPS, so x and y change sign."""
    image = sitk.GetImageFromArray(GREY.T)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    sitk.WriteImage(image, str(tmp_path / name))

    volume = read_volume(tmp_path / name)

    np.testing.assert_array_equal(GREY, volume.data)
    expected = [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.grid.affine, expected)


def test_oblique_metaimage_agrees_with_nifti(tmp_path):
    """The same image written by SimpleITK as .mha and .nii has one grid."""
    image = sitk.GetImageFromArray(GREY.T)
    image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    image.SetOrigin((1, 2, 3))
    for name in ("a.mha", "a.nii"):
        sitk.WriteImage(image, str(tmp_path / name))

    apart = read_volume(tmp_path / "a.mha").grid.distance_mm(read_volume(tmp_path / "a.nii").grid)

    assert apart < 1e-4


def test_rejects_missing_file(tmp_path):
    assert_refused(tmp_path / "a.nii.gz", "does not exist")


def test_rejects_too_long_name(tmp_path):
    assert_refused(tmp_path / ("x" * 300 + ".nii"), "cannot be read|does not exist")


def test_rejects_folder(tmp_path):
    (tmp_path / "a.nii").mkdir()
    assert_refused(tmp_path / "a.nii", "is a folder")


def test_rejects_other_suffix(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x")
    assert_refused(tmp_path / "a.txt", "it is not a volume file")


@pytest.mark.parametrize("content", [b"abc", b"not a volume " * 100, gzip.compress(b"no volume" * 100, mtime=0)])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_rejects_wrong_content(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path / name, "is not a NIfTI volume")


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd"])
def test_rejects_wrong_content_of_itk_formats(tmp_path, suffix, capfd):
    (tmp_path / f"a{suffix}").write_bytes(b"no volume" * 99)
    assert_refused(tmp_path / f"a{suffix}", "cannot be read")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_rejects_truncated_gzip(tmp_path, keep):
    path = save(tmp_path / "a.nii.gz", GREY)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert_refused(path, "damaged or truncated")


def test_rejects_gzip_with_wrong_checksum(tmp_path):
    """The voxels decompress, but differ from those that were compressed."""
    path = save(tmp_path / "a.nii.gz", GREY)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)
    assert_refused(path, "damaged or truncated")


def test_rejects_truncated_voxels(tmp_path):
    path = save(tmp_path / "a.nii", GREY)
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(path, "is truncated: it has less data than its 9 x 10 x 11 voxels")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("compressed", [True, False])
def test_rejects_truncated_itk_file(tmp_path, suffix, compressed, capfd):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(GREY.T), str(path), compressed)
    path.write_bytes(path.read_bytes()[:-1500])
    assert_refused(path, "truncated")
    assert capfd.readouterr() == ("", "")


def test_rejects_several_volumes(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.stack([GREY] * 4, axis=-1))
    assert_refused(path, r"several volumes \(9 x 10 x 11 x 4\)")
    assert count_volumes(path) == 4


@pytest.mark.parametrize("shape", [(9, 10), (9, 10, 1)])
def test_rejects_single_slice(tmp_path, shape):
    assert_refused(save(tmp_path / "a.nii", np.ones(shape, np.float32)), "a picture, not a volume")


@pytest.mark.parametrize("suffix", [".png.mha", ".nrrd"])
def test_rejects_itk_slice(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(GREY[0]), str(path))
    assert_refused(path, "a picture, not a volume")


def test_rejects_complex_voxels(tmp_path):
    assert_refused(save(tmp_path / "a.nii", GREY.astype(np.complex64)), "colour or complex")


def test_rejects_colour_voxels(tmp_path):
    colour = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert_refused(save(tmp_path / "a.nii", colour), "colour or complex")


def test_rejects_itk_colour_voxels(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([GREY] * 3, -1), isVector=True), str(tmp_path / "a.mha"))
    assert_refused(tmp_path / "a.mha", "colour, vector or complex")


def test_non_finite_voxels_are_counted(tmp_path):
    data = GREY.copy()
    data[0, 0, :2] = np.nan
    data[1, 1, 1] = np.inf
    assert_refused(save(tmp_path / "a.nii", data), "3 of 990 voxels that are NaN or infinite")


def test_values_beyond_float32_are_not_finite(tmp_path):
    data = GREY.astype(np.float64)
    data[0, 0, 0] = 1e300
    assert_refused(save(tmp_path / "a.nii", data), "1 of 990 voxels")


@pytest.mark.parametrize(("value", "match"), [(0, "0 everywhere"), (7, r"same value \(7\) everywhere")])
def test_rejects_volume_without_image(tmp_path, value, match):
    assert_refused(save(tmp_path / "a.nii.gz", np.full(SHAPE, value, np.float32)), match)


@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2, 4), (0, 255)])
def test_rejects_label_map(tmp_path, values):
    data = np.random.default_rng(1).choice(values, SHAPE).astype(np.float32)
    assert_refused(save(tmp_path / "a.nii.gz", data), "looks like a label map")


def test_nine_integer_values_are_an_image(tmp_path):
    data = (np.arange(990) % 9).reshape(SHAPE).astype(np.int16)
    assert isinstance(read_volume(save(tmp_path / "a.nii", data)), Volume)


def test_rejects_singular_affine(tmp_path):
    affine = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]])
    fields = {f"srow_{axis}": affine[row] for row, axis in enumerate("xyz")}
    assert_refused(save(tmp_path / "a.nii", GREY, **fields), "affine of a.nii is singular")


@pytest.mark.parametrize("column", [0.0, np.nan, np.inf, 1e-9])
def test_rejects_affine_column_of_zero_length(tmp_path, column):
    assert_refused(save(tmp_path / "a.nii", GREY, srow_x=[column, 0, 0, 0]), "affine|spacing")


@pytest.mark.parametrize("spacing", [0, -1, np.nan, np.inf, 1e-6, 1e6])
def test_impossible_spacing_is_replaced_by_valid_sform(tmp_path, spacing):
    """The lengths of the sform's columns are the spacing. A note reports it."""
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    path = save(tmp_path / "a.nii.gz", GREY, affine, pixdim=[1, 1, spacing, 1, 1, 1, 1, 1])

    volume = read_volume(path)

    assert volume.grid.spacing_mm == (1.0, 2.0, 3.0)
    assert volume.notes == ("the voxel spacing of the header is invalid, so the spacing of the sform is used",)


@pytest.mark.parametrize("qform_code", [0, 1])
@pytest.mark.parametrize("spacing", [0, np.nan, np.inf, 1e-6, 1e6])
def test_rejects_impossible_spacing_without_sform(tmp_path, spacing, qform_code):
    path = save(tmp_path / "a.nii.gz", GREY, pixdim=[1, 1, spacing, 1, 1, 1, 1, 1], sform_code=0, qform_code=qform_code)
    assert_refused(path, "voxel spacing of 1 x")


@pytest.mark.parametrize("qform_code", [0, 1])
def test_negative_spacing_without_sform_becomes_positive(tmp_path, qform_code):
    path = save(tmp_path / "a.nii", GREY, pixdim=[1, -1, 2, -3, 1, 1, 1, 1], sform_code=0, qform_code=qform_code)

    volume = read_volume(path)

    assert volume.grid.spacing_mm == (1.0, 2.0, 3.0)
    assert volume.notes == ("the voxel spacing of the header is negative, and its sign is ignored",)


@pytest.mark.parametrize("column", [0.0, np.nan, 1e-9])
def test_unusable_sform_is_replaced_by_valid_qform(tmp_path, column):
    """ANTs writes an sform code with a matrix of zeros."""
    path = save(
        tmp_path / "a.nii",
        GREY,
        pixdim=[1, 1, 2, 3, 1, 1, 1, 1],
        qform_code=1,
        qoffset_x=5,
        sform_code=1,
        **{f"srow_{axis}": [column] * 4 for axis in "xyz"},
    )

    volume = read_volume(path)

    np.testing.assert_allclose(volume.grid.affine, [[1, 0, 0, 5], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
    assert (volume.grid.sform_code, volume.grid.qform_code, volume.grid.sform) == (0, 1, None)
    assert volume.notes == ("the sform of the header is invalid, so the qform is used",)


def test_unusable_qform_is_replaced_by_valid_sform(tmp_path):
    """A quaternion longer than 1 is not a rotation."""
    volume = read_volume(save(tmp_path / "a.nii", GREY, qform_code=1, quatern_b=2.0))

    assert volume.grid.qform_code == 0
    assert volume.notes == ("the qform of the header is invalid, so the sform is used",)


def test_nan_outside_head_is_background(tmp_path):
    """SPM and nilearn write NaN outside a mask."""
    data = GREY.copy()
    data[:3] = np.nan
    data[:, :, -1] = np.nan
    count = int(np.isnan(data).sum())

    volume = read_volume(save(tmp_path / "a.nii.gz", data))

    np.testing.assert_array_equal(volume.data, np.nan_to_num(data))
    assert volume.notes == (f"{count} voxels around the head are NaN and are read as 0 (background)",)


@pytest.mark.parametrize(("side", "good"), [(1, True), (3, True), (4, False)])
def test_pinholes_of_mask_are_background(tmp_path, side, good):
    """Zeros inside a real brain are a few voxels each. A larger hole is a fault."""
    data = np.random.default_rng(2).normal(100, 20, (40, 40, 40)).astype(np.float32)
    data[:4] = np.nan
    data[20 : 20 + side, 20 : 20 + side, 20 : 20 + side] = np.nan
    path = save(tmp_path / "a.nii.gz", data)
    if good:
        np.testing.assert_array_equal(read_volume(path).data, np.nan_to_num(data))
    else:
        assert_refused(path, "NaN or infinite")


def test_rejects_pinhole_without_nan_background(tmp_path):
    data = np.random.default_rng(2).normal(100, 20, (40, 40, 40)).astype(np.float32)
    data[20, 20, 20] = np.nan
    assert_refused(save(tmp_path / "a.nii.gz", data), "1 of 64,000 voxels that are NaN or infinite")


def test_rejects_nan_inside_head(tmp_path):
    """A hole that does not reach the border is a fault."""
    data = GREY.copy()
    data[0] = np.nan
    data[4, 5, 5] = np.nan
    assert_refused(save(tmp_path / "a.nii", data), r"111 of 990 voxels that are NaN")


@pytest.mark.parametrize(
    "dim", [[3, 7, 9, 9], [3, 1025, 9, 9], [3, 1024, 1024, 1024], [3, -5, 9, 9], [3, 32767] + [32767] * 2]
)
def test_rejects_absurd_dimensions_from_header(tmp_path, dim):
    """The file is tiny, and nothing of the described size is allocated."""
    path = save(tmp_path / "a.nii.gz", GREY, dim=dim + [1] * (8 - len(dim)))
    assert_refused(path, "Each axis must have 8 to 1024 voxels")


def test_rejects_plausible_dimensions_without_voxels(tmp_path):
    """A file of a few kilobytes cannot hold 512 MB of voxels."""
    path = save(tmp_path / "a.nii.gz", GREY, dim=[3, 512, 512, 512, 1, 1, 1, 1])
    assert_refused(path, "less data than its 512 x 512 x 512 voxels")


def test_rejects_absurd_metaimage_from_header(tmp_path):
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 20000 20000 20000\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(header.encode() + b"\0" * 64)
    assert_refused(tmp_path / "a.mha", "Each axis must have 8 to 1024")


def test_qfac_of_zero_means_one(tmp_path):
    """Many files have pixdim[0] = 0, which the standard reads as 1."""
    volume = read_volume(save(tmp_path / "a.nii", GREY, pixdim=[0, 1, 1, 1, 1, 1, 1, 1], sform_code=0, qform_code=1))

    np.testing.assert_allclose(volume.grid.affine, np.eye(4), atol=1e-6)


def test_unusual_header_prints_and_logs_nothing(tmp_path, capfd, caplog):
    """Messages of nibabel about headers are not for the user."""
    with caplog.at_level(logging.DEBUG):
        read_volume(save(tmp_path / "a.nii", GREY, pixdim=[0, 1, 1, 1, 1, 1, 1, 1], sform_code=77, intent_code=4321))

    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_sform_takes_precedence_and_disagreement_is_reported():
    """The two matrices differ by a quarter turn."""
    turned = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

    (warning,) = warn_about_header(Grid(SHAPE, np.eye(4), 1, 1, np.eye(4), turned))

    assert "differ by up to 17.0 mm, and the sform is used" in warning  # corner (8, 9) is 2 x 8 and 1: (17, 1)


def test_consistent_header_gives_no_warning():
    near = np.eye(4)
    near[0, 3] = 0.4
    assert warn_about_header(Grid(SHAPE, np.eye(4), 1, 1, np.eye(4), near)) == ()


def test_header_without_codes_is_reported(tmp_path):
    volume = read_volume(save(tmp_path / "a.nii", GREY, sform_code=0, qform_code=0))

    assert "left and right are uncertain" in warn_about_header(volume.grid)[0]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(changes=st.dictionaries(st.integers(0, 351), st.integers(0, 255), min_size=1, max_size=40), zipped=st.booleans())
def test_random_header_bytes_give_volume_or_error(tmp_path, changes, zipped):
    """No header raises another type of error."""
    content = bytearray(save(tmp_path / "a.nii", GREY).read_bytes())
    for position, value in changes.items():
        content[position] = value
    path = tmp_path / ("b.nii.gz" if zipped else "b.nii")
    path.write_bytes(gzip.compress(bytes(content), 1) if zipped else content)
    assert_volume_or_error(path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(position=st.integers(0, 20_000), value=st.integers(0, 255), suffix=st.sampled_from([".nii.gz", ".mha", ".nrrd"]))
def test_damaged_files_give_volume_or_error(tmp_path, position, value, suffix):
    """One wrong byte anywhere in a file of any format."""
    good = tmp_path / f"good{suffix}"
    if not good.exists():
        sitk.WriteImage(sitk.GetImageFromArray(GREY.T), str(good), suffix != ".mha")
    content = bytearray(good.read_bytes())
    content[position % min(len(content), 400)] = value
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    assert_volume_or_error(path)


def assert_volume_or_error(path):
    """Check that reading gives a usable volume or an error that names the file."""
    try:
        volume = read_volume(path)
    except BratsMMError as error:
        sentence = str(error)
    else:
        sentence = path.name
        warn_about_header(volume.grid)
        assert np.isfinite(volume.data).all()
    assert path.name in sentence
