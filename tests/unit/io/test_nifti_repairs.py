"""NIfTI headers with one unusable field are repaired from other fields and read with a note."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from brats_mm.errors import VolumeError
from brats_mm.io.case import read_scans
from brats_mm.io.recognise import recognise
from brats_mm.io.volume import read_volume
from brats_mm.outputs.nifti import build_header

AFFINE = np.array([[-1.0, 0, 0, 9], [0, -1, 0, 8], [0, 0, 2, -7], [0, 0, 0, 1]])
DATA = np.random.default_rng(0).integers(1, 900, (10, 9, 8)).astype(np.int16)
NAN = float("nan")


def volume(tmp_path, *changes):
    """Return a volume with fields of its header overwritten: (format, offset, values)."""
    image = nib.Nifti1Image(DATA, AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    raw = bytearray(image.to_bytes())
    for form, offset, *values in changes:
        struct.pack_into(form, raw, offset, *values)
    path = tmp_path / "t1.nii.gz"
    path.write_bytes(gzip.compress(bytes(raw)))
    return read_volume(path)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ([("<3f", 80, NAN, NAN, NAN)], "spacing"),
        ([("<f", 84, float("inf"))], "spacing"),
        ([("<f", 88, 0.0)], "spacing"),
        ([("<3f", 80, -1, -1, -2)], "spacing"),
        ([("<12f", 280, *[NAN] * 12)], "sform"),
        ([("<4f", 312, 0, 0, 0, 0)], "sform"),
        ([("<f", 292, NAN)], "sform"),
        ([("<3f", 256, NAN, NAN, NAN)], "qform"),
        ([("<3f", 256, 2, 2, 2)], "qform"),
        ([("<3f", 80, 0, 0, 0), ("<h", 252, 0)], "spacing"),
        ([("<3f", 80, 1, NAN, 1), ("<h", 252, 0)], "spacing"),
        ([("<f", 108, 0.0)], "where the voxels begin"),
        ([("<2f", 112, 1.0, NAN)], "intercept"),
        ([("<2f", 112, 1.0, float("inf"))], "intercept"),
    ],
    ids=[
        "NaN",
        "infinite",
        "zero",
        "negative",
        "NaN sform",
        "flat",
        "NaN offset",
        "NaN turn",
        "long turn",
        "zero without qform",
        "NaN without qform",
        "voxels",
        "NaN intercept",
        "infinite intercept",
    ],
)
def test_fault_is_repaired_from_other_fields_with_note(tmp_path, changes, note):
    read = volume(tmp_path, *changes)
    np.testing.assert_array_equal(read.data, DATA)
    np.testing.assert_allclose(read.grid.affine, AFFINE, atol=1e-5)
    assert note in " ".join(read.notes)
    header = build_header(read.grid, np.dtype("<u1"), "a result on the same grid")
    np.testing.assert_allclose(header.get_best_affine(), AFFINE, atol=1e-5)


@pytest.mark.parametrize("slope", [NAN, 0.0, float("inf")])
def test_header_without_scaling_needs_no_repair(tmp_path, slope):
    """Both fields are NaN in files of nibabel."""
    read = volume(tmp_path, ("<2f", 112, slope, NAN))
    np.testing.assert_array_equal(read.data, DATA)
    assert read.notes == ()


@pytest.mark.parametrize("axes", [8, 1000, -3])
def test_impossible_number_of_axes_does_not_change_the_byte_order(tmp_path, axes):
    with pytest.raises(VolumeError, match=f"header of t1.nii.gz is damaged .it has {axes} axes."):
        volume(tmp_path, ("<h", 40, axes))


@pytest.mark.parametrize("changes", [[("<2h", 252, 9, 9)], [("<2h", 252, 0, 9)], [("<h", 252, 6)], [("<h", 252, -3)]])
def test_unknown_positive_code_keeps_its_matrix(tmp_path, changes):
    """As in nibabel. A negative code means no matrix."""
    np.testing.assert_allclose(volume(tmp_path, *changes).grid.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [[("<f", 108, NAN)], [("<f", 108, 100.0)], [("<12f", 280, *[0] * 12), ("<3f", 256, NAN, NAN, NAN)]]
)
def test_rejects_faults_that_cannot_be_repaired(tmp_path, changes):
    with pytest.raises(VolumeError):
        volume(tmp_path, *changes)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair, nib.Spm99AnalyzeImage, nib.AnalyzeImage])
@pytest.mark.parametrize("named", ["t1.img", "t1.hdr"])
def test_pair_is_read_by_either_name(tmp_path, kind, named):
    """The voxels of a pair begin at byte 0 of the .img file."""
    kind(DATA, np.diag([2.0, 2, 3, 1])).to_filename(tmp_path / "t1.img")

    read = read_volume(tmp_path / named)

    np.testing.assert_array_equal(read.data, DATA)
    assert read.grid.spacing_mm == (2, 2, 3)
    assert not any("voxels begin" in note for note in read.notes)


def test_folder_with_pairs_is_a_case(tmp_path):
    for number, sequence in enumerate(("t1", "flair")):
        nib.Nifti1Pair(DATA + np.int16(number), AFFINE).to_filename(tmp_path / f"case_{sequence}.img")

    scans = read_scans(recognise(tmp_path))

    assert {m.value: int(v.data.min()) for m, v in scans.volumes.items()} == {"t1": 1, "flair": 2}


def test_unknown_voxel_type_is_named(tmp_path):
    with pytest.raises(VolumeError, match=r"t1\.nii\.gz has the unsupported voxel type \(4096\)"):
        volume(tmp_path, ("<h", 70, 4096))
