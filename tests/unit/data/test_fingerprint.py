"""The fingerprint of a data set counts and measures its cases."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_mm.data.datalist import Item
from brats_mm.data.fingerprint import compute_fingerprint


def _case(root: Path, name: str, *, modalities: tuple[str, ...], step_mm: float, depth: int, enhancing: int) -> Item:
    """Write a brain with values 1 to 100 along the first axis, label 2 in 8 voxels and label 3 in `enhancing` voxels."""
    folder = root / name
    folder.mkdir()
    affine = np.diag([step_mm, 1.0, 1.0, 1.0])
    image = np.zeros((102, 6, depth), np.float32)
    image[1:101, 1:5, 1:5] = np.arange(1, 101)[:, None, None]
    labels = np.zeros(image.shape, np.uint8)
    labels[1:9, 2, 2] = 2
    labels[9 : 9 + enhancing, 2, 2] = 3
    files = {modality: str(folder / f"{name}-{modality}.nii.gz") for modality in modalities}
    for path in files.values():
        nib.save(nib.Nifti1Image(image, affine), path)
    nib.save(nib.Nifti1Image(labels, affine), folder / f"{name}-seg.nii.gz")
    return {"name": name, "image": files, "label": str(folder / f"{name}-seg.nii.gz"), "label_scheme": "brats2023"}


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    return [
        _case(tmp_path, "one", modalities=("t1", "flair"), step_mm=1.0, depth=6, enhancing=4),
        _case(tmp_path, "two", modalities=("flair",), step_mm=2.0, depth=8, enhancing=0),
    ]


def test_counts_cases_by_sequence_and_number_of_sequences(items: list[Item]) -> None:
    result = compute_fingerprint(items)
    assert result["cases"] == 2
    assert result["cases_with_sequence"] == {"t1": 1, "t1ce": 0, "t2": 0, "flair": 2}
    assert result["cases_by_number_of_sequences"] == {"1": 1, "2": 1}
    assert result["label_schemes"] == {"brats2023": 2}


def test_grids_are_reported_per_axis(items: list[Item]) -> None:
    result = compute_fingerprint(items)
    assert result["shape"] == {"min": [102, 6, 6], "median": [102, 6, 7], "max": [102, 6, 8]}
    assert result["voxel_mm"] == {"min": [1, 1, 1], "median": [1.5, 1, 1], "max": [2, 1, 1]}


def test_volumes_include_only_cases_with_the_region(items: list[Item]) -> None:
    """Twelve voxels of 1 mm3 in one case, eight of 2 mm3 in the other. Only the first has enhancing tumour."""
    volumes = compute_fingerprint(items)["volumes_ml"]
    assert volumes["wt"] == {"present": 2, "min": 0.012, "median": 0.014, "max": 0.016}
    assert volumes["et"] == {"present": 1, "min": 0.004, "median": 0.004, "max": 0.004}


def test_intensities_are_percentiles_outside_the_background(items: list[Item]) -> None:
    result = compute_fingerprint(items)["intensities"]
    assert set(result) == {"t1", "flair"}
    assert result["t1"]["p50"]["median"] == 50.5
    assert 1 <= result["t1"]["p0.5"]["median"] < 2
    assert 99 < result["t1"]["p99.5"]["median"] <= 100
