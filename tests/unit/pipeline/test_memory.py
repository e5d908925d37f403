"""A case has the same prediction from files and from every kind of in-memory image."""

import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from monai.data import MetaTensor

from brats_mm import Segmenter
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError, VolumeError
from brats_mm.inference.engine import WindowSettings
from brats_mm.io.memory import ArrayImage, to_volume
from brats_mm.io.volume import read_volume
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment

NAMES = {"t1ce": "BraTS-GLI-00000-000-t1c.nii.gz", "flair": "BraTS-GLI-00000-000-t2f.nii.gz"}


@pytest.fixture(scope="module")
def segmenter(tiny_bundle):
    return Segmenter.from_bundle(tiny_bundle, device="cpu", backend="torch", settings=WindowSettings((64, 64, 64)))


@pytest.fixture(scope="module")
def files(made_head):
    return {name: made_head / file for name, file in NAMES.items()}


@pytest.fixture(scope="module")
def from_files(segmenter, files):
    return segmenter.predict(files)


def nibabel_image(path):
    return nib.load(path)


def simpleitk_image(path):
    return sitk.ReadImage(str(path))


def array(path):
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def array_image(path):
    return ArrayImage(*array(path))


def tensor(path):
    data, affine = array(path)
    return torch.as_tensor(data.copy()), torch.as_tensor(affine.copy())


def meta_tensor(path):
    data, affine = array(path)
    return MetaTensor(torch.as_tensor(data.copy())[None], affine=torch.as_tensor(affine.copy()))


def volume(path):
    return read_volume(path)


KINDS = [nibabel_image, simpleitk_image, array, array_image, tensor, meta_tensor, volume]


def assert_same(prediction, expected):
    assert prediction.case.available == expected.case.available
    np.testing.assert_array_equal(prediction.case.grid.affine, expected.case.grid.affine)
    for region in REGIONS:
        np.testing.assert_array_equal(prediction.probabilities[region], expected.probabilities[region])
    assert prediction.labels().any(), "a network that says nothing proves nothing"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_in_memory_images_match_files(segmenter, files, from_files, kind):
    assert_same(segmenter.predict({name: kind(path) for name, path in files.items()}), from_files)


def test_images_and_files_may_be_mixed_and_use_aliases(segmenter, files, from_files):
    assert_same(segmenter.predict(t1c=nib.load(files["t1ce"]), t2f=files["flair"]), from_files)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_folders_and_zips_match_files(segmenter, files, from_files, tmp_path, kind):
    folder = tmp_path / "case"
    folder.mkdir()
    for path in files.values():
        shutil.copy(path, folder)
    source = folder if kind == "folder" else shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    assert_same(segmenter.predict(source), from_files)


def test_results_of_in_memory_images_match_those_of_files(segmenter, files, tmp_path):
    images = {name: nib.load(path) for name, path in files.items()}
    for name, source in (("files", files), ("memory", images)):
        segment(make_request(source, tmp_path / name, preview=False), segmenter)
    for path in (tmp_path / "files").iterdir():
        if path.suffix != ".json":
            assert path.read_bytes() == (tmp_path / "memory" / path.name).read_bytes(), path.name


def test_lps_becomes_ras():
    """ITK's x and y point the other way: an origin of (1, 2, 3) mm is (-1, -2, 3) mm in RAS."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(10, 9, 8)))
    image.SetOrigin((1.0, 2.0, 3.0))
    image.SetSpacing((0.5, 1.0, 2.0))
    result = to_volume(image, "t1")
    assert result.grid.shape == (8, 9, 10)
    expected = [[-0.5, 0, 0, -1], [0, -1, 0, -2], [0, 0, 2, 3], [0, 0, 0, 1]]
    np.testing.assert_array_equal(result.grid.affine, expected)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.ones((8, 8, 8)), "which has no known geometry. Provide a file, a nibabel or SimpleITK image"),
        ((np.ones((8, 8, 8)), np.eye(3)), "must have one grey value per voxel and a (4, 4) affine"),
        ((np.ones((2, 8, 8, 8)), np.eye(4)), "holds several volumes"),
        ((np.ones((8, 8, 8)), np.zeros((4, 4))), "is singular"),
        ((np.ones((8, 8, 8)), np.eye(4)), "is the same value (1) everywhere"),
        (sitk.GetImageFromArray(np.ones((8, 8))), "is a picture, not a volume (8 x 8)"),
    ],
)
def test_invalid_images_raise_same_errors_as_files(segmenter, image, sentence):
    with pytest.raises(VolumeError) as error:
        segmenter.predict(t1=image)
    assert sentence in str(error.value)
    assert "t1" in str(error.value)


def test_bfloat16_and_missing_sequences_are_accepted(segmenter, files, from_files):
    """NumPy has no bfloat16. None is a missing sequence."""
    case = {
        name: (torch.tensor(np.asarray(nib.load(path).dataobj, np.float32)).bfloat16(), nib.load(path).affine)
        for name, path in files.items()
    }
    prediction = segmenter.predict({**case, "t1": None})
    assert prediction.case.available == from_files.case.available
    agree = prediction.labels() == from_files.labels()
    assert agree.mean() > 0.99, "three digits remain of the grey values"


def test_nibabel_image_without_affine_has_that_of_its_file(segmenter, files, tmp_path):
    data = np.asarray(nib.load(files["t1ce"]).dataobj)
    image = nib.Nifti1Image(data, None)
    nib.save(image, tmp_path / "t1ce.nii.gz")
    expected = read_volume(tmp_path / "t1ce.nii.gz").grid
    result = to_volume(image, "t1ce").grid
    np.testing.assert_array_equal(result.affine, expected.affine)
    assert (result.sform_code, result.qform_code) == (0, 0)


def test_rejects_unsupported_input_type(segmenter):
    with pytest.raises(OptionError, match="The input is a int"):
        segmenter.predict(42)
