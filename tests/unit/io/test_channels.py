"""Four-dimensional files: each volume is a sequence, by the data set's description or by a given order."""

import gzip
import json
import struct

import nibabel as nib
import numpy as np
import pytest

from brats_mm.cli.main import main
from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError, OptionError, VolumeError
from brats_mm.io.case import read_scans
from brats_mm.io.channels import parse_order, split_channel
from brats_mm.io.formats import raster
from brats_mm.io.recognise import recognise
from brats_mm.io.volume import check_volume, read_grid, read_volume

T1, T1CE, T2, FLAIR = Modality
MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}


@pytest.fixture
def file(tmp_path):
    """A file with the name and layout of the Decathlon. The values of volume n start at 100 n."""
    place = tmp_path / "Task01_BrainTumour" / "imagesTr"
    place.mkdir(parents=True)
    data = np.random.default_rng(0).integers(0, 100, (9, 8, 10, 4)) + 100 * np.arange(4)
    nib.Nifti1Image(data.astype(np.int16), np.diag([1, 2, 3, 1])).to_filename(place / "BRATS_001.nii.gz")
    return place / "BRATS_001.nii.gz"


def describe(file, names):
    (file.parents[1] / "dataset.json").write_text(json.dumps({"modality": names}))


def floors(files):
    """Return the lowest voxel of each sequence, in hundreds."""
    return {m: int(volume.data.min()) // 100 for m, volume in read_scans(files).volumes.items()}


def test_dataset_json_maps_volumes_to_sequences(file):
    describe(file, MODALITY)
    files = recognise(file)

    assert floors(files) == {T1: 1, T1CE: 2, T2: 3, FLAIR: 0}
    assert files.name == "BRATS_001"
    assert files.notes == (
        "the channel order of BRATS_001.nii.gz is from Task01_BrainTumour/dataset.json: 0 FLAIR, 1 T1, 2 T1ce, 3 T2",
    )


def test_other_order_in_dataset_json_is_followed(file):
    describe(file, {"0": "T2", "1": "T1", "2": "FLAIR", "3": "T1ce"})

    assert floors(recognise(file)) == {T1: 1, T1CE: 3, T2: 0, FLAIR: 2}


@pytest.mark.parametrize("order", ["decathlon", "flair,t1,t1ce,t2", "FLAIR, T1w, t1gd, T2w"])
def test_user_may_give_order(file, order):
    assert floors(recognise(file, channels=parse_order(order))) == {T1: 1, T1CE: 2, T2: 3, FLAIR: 0}


def test_folder_with_only_the_file_is_a_case(file):
    describe(file, MODALITY)

    assert floors(recognise(file.parent)) == {T1: 1, T1CE: 2, T2: 3, FLAIR: 0}


def test_order_is_never_guessed(file):
    """The Decathlon's order is not assumed for four volumes."""
    for source in (file, file.parent):
        with pytest.raises(CaseError, match=r"has 4 volumes in one file.*--channels decathlon"):
            recognise(source)


def test_order_must_name_every_volume(file):
    with pytest.raises(CaseError, match=r"has 4 volumes, but the order from --channels has 2: T1, T2"):
        recognise(file, channels=(T1, T2))


@pytest.mark.parametrize("order", ["t1,t1,t2", "t1,adc", "", "T1_FLAIR,t2"])
def test_order_must_name_known_sequences_once(order):
    with pytest.raises(OptionError, match="must name each sequence once"):
        parse_order(order)


def test_volume_has_grid_of_file(file):
    volume = read_volume(file.with_name("BRATS_001.nii.gz#2"))

    assert volume.data.shape == (9, 8, 10)
    assert np.array_equal(volume.data, np.asarray(nib.load(file).dataobj)[..., 2])
    assert read_grid(file.with_name("BRATS_001.nii.gz#2")).spacing_mm == (1, 2, 3)


def test_rejects_missing_volume(file):
    with pytest.raises(VolumeError, match=r"has 4 volumes, so there is no volume 4"):
        read_volume(file.with_name("BRATS_001.nii.gz#4"))


def test_file_with_literal_name_is_not_a_channel(file):
    odd = file.with_name("a.nii.gz#1")
    odd.touch()

    assert split_channel(odd) == (odd, None)


def test_segment_accepts_4d_file(tmp_path, head_folder, tiny_bundle):
    """The sequences of a synthetic head in one file, in the Decathlon's order."""
    names = {m: nib.load(path) for m, path in recognise(head_folder).paths.items()}
    data = np.stack([np.asarray(names[m].dataobj) for m in (FLAIR, T1, T1CE, T2)], axis=-1)
    nib.Nifti1Image(data, names[T1].affine).to_filename(tmp_path / "case.nii.gz")
    arguments = ["segment", str(tmp_path / "case.nii.gz"), "-o", str(tmp_path / "out"), "--channels", "decathlon"]

    assert (
        main([*arguments, "--bundle", str(tiny_bundle), "--window", "64", "--device", "cpu", "-q", "--no-preview"]) == 0
    )
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sequences_found"] == [
        "t1",
        "t1ce",
        "t2",
        "flair",
    ]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_volumes_do_not_count_as_surplus_data(tmp_path, monkeypatch, suffix, dtype):
    """The volumes of a case in float32 exceed the 64 MiB of surplus data and of offset that one volume may have."""
    monkeypatch.setattr(raster, "MAX_OFFSET", 1000)
    monkeypatch.setattr(raster, "_MAX_TRAILING_BYTES", 1000)
    data = np.random.default_rng(0).random((9, 8, 10, 4)).astype(dtype)
    path = tmp_path / f"case{suffix}"
    nib.Nifti1Image(data, np.eye(4)).to_filename(path)

    for number in range(4):
        place = path.with_name(f"{path.name}#{number}")
        check_volume(place)
        np.testing.assert_array_equal(read_volume(place).data, data[..., number].astype(np.float32))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_file_without_its_last_volume_is_truncated(tmp_path, suffix):
    """The header states four volumes, and three are stored."""
    data = np.random.default_rng(0).integers(0, 100, (9, 8, 10, 4)).astype(np.int16)
    path = tmp_path / f"case{suffix}"
    content = nib.Nifti1Image(data, np.eye(4)).to_bytes()[: -2 * 720]
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)

    for number in (0, 3):
        with pytest.raises(VolumeError, match="truncated"):
            read_volume(path.with_name(f"{path.name}#{number}"))


def test_components_of_itk_are_volumes(tmp_path):
    """ITK stores the components of a voxel along the fifth axis."""
    data = np.random.default_rng(0).integers(0, 100, (9, 8, 10, 1, 4)).astype(np.int16) + 100 * np.arange(4)
    nib.Nifti1Image(data.astype(np.int16), np.eye(4)).to_filename(tmp_path / "case.nii.gz")

    files = recognise(tmp_path / "case.nii.gz", channels=parse_order("flair,t1,t1ce,t2"))

    assert floors(files) == {T1: 1, T1CE: 2, T2: 3, FLAIR: 0}


def test_fourth_axis_of_length_zero_does_not_exist(tmp_path):
    """Some programs write four axes with 0 as the last."""
    grey = np.random.default_rng(0).integers(1, 900, (9, 8, 10)).astype(np.int16)
    content = bytearray(nib.Nifti1Image(grey, np.eye(4)).to_bytes())
    struct.pack_into("<8h", content, 40, 4, 9, 8, 10, 0, 0, 0, 0)
    (tmp_path / "t1.nii").write_bytes(content)

    np.testing.assert_array_equal(read_volume(tmp_path / "t1.nii").data, grey)


def test_volumes_beyond_the_limit_are_refused_before_reading(tmp_path):
    content = bytearray(nib.Nifti1Image(np.zeros((9, 8, 10, 4), np.int16), np.eye(4)).to_bytes())
    struct.pack_into("<8h", content, 40, 4, 1000, 1000, 200, 30000, 1, 1, 1)
    (tmp_path / "case.nii").write_bytes(content)

    with pytest.raises(VolumeError, match=r"6,000,000,000,000 voxels in all its volumes"):
        read_volume(tmp_path / "case.nii#0")
