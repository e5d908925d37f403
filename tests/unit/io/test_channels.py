"""Four-dimensional files: each volume is a sequence, by the data set's description or by a given order."""

import json

import nibabel as nib
import numpy as np
import pytest

from brats_mm.cli.main import main
from brats_mm.domain.modality import Modality
from brats_mm.errors import CaseError, OptionError, VolumeError
from brats_mm.io.case import read_scans
from brats_mm.io.channels import parse_order, split_channel
from brats_mm.io.recognise import recognise
from brats_mm.io.volume import read_grid, read_volume

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
    """Lowest voxel of each sequence, in hundreds."""
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
