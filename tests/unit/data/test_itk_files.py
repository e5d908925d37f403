"""Training and evaluation read MetaImage and NRRD files like the equal NIfTI files."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from brats_mm.data.case_check import check_cases
from brats_mm.data.checked_nifti import load_checked
from brats_mm.data.datalist import find_item, find_items
from brats_mm.data.transforms import LoadSequencesd
from brats_mm.errors import VolumeError
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import list_labelled_cases
from brats_mm.io.reference_labels import read_reference

SHAPE = (8, 9, 10)
ANGLE = 0.2
AFFINE = np.array(
    [
        [-1.5 * np.cos(ANGLE), 2.0 * np.sin(ANGLE), 0, 30],
        [-1.5 * np.sin(ANGLE), -2.0 * np.cos(ANGLE), 0, 40],
        [0, 0, 3.0, -20],
        [0, 0, 0, 1],
    ]
)


def case(folder: Path, suffix: str) -> Path:
    """Return a case with T1, FLAIR and labels, written by nibabel or by SimpleITK from the same voxels."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, data in (
        ("t1", rng.normal(100, 9, SHAPE).astype(np.float32)),
        ("flair", rng.integers(1, 999, SHAPE).astype(np.int16)),
        ("seg", rng.integers(0, 4, SHAPE).astype(np.uint8)),
    ):
        path = folder / f"{folder.name}-{name}{suffix}"
        nib.Nifti1Image(data, AFFINE).to_filename(folder / "made.nii.gz")
        if suffix == ".nii.gz":
            (folder / "made.nii.gz").rename(path)
        else:
            SimpleITK.WriteImage(SimpleITK.ReadImage(str(folder / "made.nii.gz")), str(path), useCompression=True)
            (folder / "made.nii.gz").unlink()
    return folder


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_training_reads_same_voxels_and_geometry_as_nifti(suffix: str, tmp_path: Path) -> None:
    loaded = [LoadSequencesd()(find_item(case(tmp_path / name[1:4], name)) or {}) for name in (".nii.gz", suffix)]
    for key in ("image", "label"):
        expected, got = (one[key] for one in loaded)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))
        np.testing.assert_allclose(np.asarray(got.affine), np.asarray(expected.affine), atol=1e-5)
    assert loaded[1]["available"].tolist() == [True, False, False, True]


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_evaluation_and_list_check_read_itk_files(suffix: str, tmp_path: Path) -> None:
    case(tmp_path / "a", suffix)
    (labelled,) = list_labelled_cases(tmp_path)
    images = read_case(labelled.files)
    assert sorted(modality.value for modality in images.volumes) == ["flair", "t1"]
    read_reference(labelled.label, images.grid, labelled.scheme)
    (tmp_path / "list.json").write_text('{"training": ["a"]}', encoding="utf-8")
    assert check_cases(tmp_path, tmp_path / "list.json", sections=("training",)) == 1


def test_prefers_nifti_and_ignores_slicer_segmentations(tmp_path: Path) -> None:
    folder = case(tmp_path / "a", ".nii.gz")
    (folder / "a-t1.mha").write_bytes(b"another copy")
    item = find_item(folder)
    assert item is not None
    assert item["image"]["t1"].endswith(".nii.gz")
    other = case(tmp_path / "b", ".nrrd")
    (other / "b-seg.nrrd").rename(other / "b-seg.seg.nrrd")
    assert "label" not in find_items(tmp_path)[1]


def test_rejects_damaged_and_multi_component_files(tmp_path: Path) -> None:
    folder = case(tmp_path / "a", ".mha")
    path = folder / "a-t1.mha"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(VolumeError, match="truncated or damaged"):
        load_checked(path)
    SimpleITK.WriteImage(SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorFloat32, 3), str(path))
    with pytest.raises(VolumeError, match="several values per voxel"):
        load_checked(path)
