"""Files become stacked sequences with explicit availability, and label maps become regions in each convention."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from brats_mm.data.transforms import (
    CANDIDATES,
    CropCandidatesd,
    LabelsToRegionsd,
    LoadSequencesd,
    build_region_masks,
    has_signal,
)
from brats_mm.errors import CaseError, GridError, VolumeError

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _save(path: Path, value: float, shape: tuple[int, ...] = (4, 5, 6), affine: np.ndarray = LPS) -> str:
    nib.save(nib.Nifti1Image(np.full(shape, value, np.float32), affine), path)
    return str(path)


def test_sequences_fill_their_channels_and_gaps_are_reported(tmp_path: Path) -> None:
    files = {"flair": _save(tmp_path / "f.nii.gz", 4.0), "t1ce": _save(tmp_path / "c.nii.gz", 2.0)}
    loaded = LoadSequencesd()({"name": "x", "image": files, "label": _save(tmp_path / "s.nii.gz", 1.0)})

    assert loaded["image"].shape == (4, 4, 5, 6)
    assert [float(channel.max()) for channel in loaded["image"]] == [0, 2, 0, 4]
    assert loaded["available"].tolist() == [False, True, False, True]
    assert loaded["label"].shape == (1, 4, 5, 6)
    assert np.array_equal(loaded["image"].affine.numpy(), LPS)


def test_one_modality_gives_one_channel(tmp_path: Path) -> None:
    files = {"flair": _save(tmp_path / "f.nii.gz", 4.0), "t1ce": _save(tmp_path / "c.nii.gz", 2.0)}
    loaded = LoadSequencesd(["flair"])({"image": files})

    assert loaded["image"].shape == (1, 4, 5, 6)
    assert float(loaded["image"].min()) == 4


@pytest.mark.parametrize(
    ("shape", "shift"), [((4, 5, 7), 0.0), ((4, 5, 6), 1.0)], ids=["other shape", "shifted by a millimetre"]
)
def test_rejects_files_on_different_grids_by_name(tmp_path: Path, shape: tuple[int, ...], shift: float) -> None:
    affine = LPS.copy()
    affine[0, 3] = shift
    files = {"t1": _save(tmp_path / "a.nii.gz", 1), "t2": _save(tmp_path / "b.nii.gz", 1, shape, affine)}
    with pytest.raises(GridError, match=r"b\.nii\.gz and .*a\.nii\.gz have different grids"):
        LoadSequencesd()({"image": files})


def test_label_map_is_reordered_to_image_grid(tmp_path: Path) -> None:
    data = np.arange(1, 121, dtype=np.float32).reshape(4, 5, 6)
    nib.Nifti1Image(data, LPS).to_filename(tmp_path / "t1.nii.gz")
    turned = nib.as_closest_canonical(nib.Nifti1Image((data % 3).astype(np.uint8), LPS))
    turned.to_filename(tmp_path / "seg.nii.gz")
    item = {"image": {"t1": str(tmp_path / "t1.nii.gz")}, "label": str(tmp_path / "seg.nii.gz")}
    assert np.array_equal(LoadSequencesd(["t1"])(item)["label"][0].numpy(), data % 3)


def test_blurred_background_becomes_zero(tmp_path: Path) -> None:
    """Training and inference use the same background, and brain voxels keep their distance to it."""
    data = np.random.default_rng(0).normal(-7, 0.01, (12, 12, 12)).astype(np.float32)
    data[3:9, 3:9, 3:9] = 93
    nib.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "t1.nii.gz")
    image = LoadSequencesd(["t1"])({"image": {"t1": str(tmp_path / "t1.nii.gz")}})["image"]
    assert int(torch.count_nonzero(image)) == 6**3
    assert float(image.max()) == pytest.approx(100, abs=0.1)


def test_rejects_unusable_files_by_name(tmp_path: Path) -> None:
    load = LoadSequencesd()
    with pytest.raises(VolumeError, match=r"absent\.nii\.gz does not exist"):
        load({"image": {"t1": str(tmp_path / "absent.nii.gz")}})
    with pytest.raises(VolumeError, match="NaN or infinite voxels"):
        load({"image": {"t1": _save(tmp_path / "nan.nii.gz", float("nan"))}})
    with pytest.raises(VolumeError, match="one three-dimensional volume"):
        load({"image": {"t1": _save(tmp_path / "four.nii.gz", 1, (4, 5, 6, 2))}})


def test_rejects_case_without_requested_sequence(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="case x has none of t2"):
        LoadSequencesd(["t2"])({"name": "x", "image": {"t1": _save(tmp_path / "a.nii.gz", 1)}})


def _labels(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, -1)


@pytest.mark.parametrize(("scheme", "enhancing"), [("brats2018", 4), ("brats2021", 4), ("brats2023", 3), (None, 3)])
def test_both_label_conventions_give_same_regions(scheme: str | None, enhancing: int) -> None:
    """Background, necrosis, oedema, enhancing: WT 0111, TC 0101, ET 0001."""
    masks = build_region_masks(_labels(0, 1, 2, enhancing), scheme)

    assert masks.flatten(1).tolist() == [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]
    assert masks.dtype == torch.uint8


def test_map_without_enhancing_tumour_has_empty_region() -> None:
    assert build_region_masks(_labels(0, 1, 2)).flatten(1).tolist() == [[0, 1, 1], [0, 1, 0], [0, 0, 0]]


def test_rejects_values_unknown_to_scheme() -> None:
    with pytest.raises(
        VolumeError, match="label map of x has the values 3, but the label scheme brats2018 allows only 1, 2, 4"
    ):
        build_region_masks(_labels(0, 3, 4), "brats2018", name="x")
    with pytest.raises(VolumeError, match="has the values 4, but the label scheme brats2023"):
        build_region_masks(_labels(0, 4), "brats2023")
    with pytest.raises(VolumeError, match="only one label"):
        build_region_masks(_labels(0, 1, 1))


def test_rejects_soft_masks_but_accepts_rounding() -> None:
    with pytest.raises(VolumeError, match=r"has the values 0\.25, 0\.5, but labels are integers"):
        build_region_masks(_labels(0, 0.25, 0.5, 1), "brats2023")
    assert build_region_masks(_labels(0, 1.0000001, 2, 3)).flatten(1).tolist() == [
        [0, 1, 1, 1],
        [0, 1, 0, 1],
        [0, 0, 0, 1],
    ]


def test_item_names_its_scheme() -> None:
    item = {"name": "x", "label_scheme": "brats2018", "label": MetaTensor(_labels(0, 1, 2, 4)[None])}

    masks = LabelsToRegionsd()(item)["label"]

    assert masks.shape == (3, 1, 1, 4)
    assert masks[2].flatten().tolist() == [0, 0, 0, 1]


def test_all_zero_sequence_is_not_available(tmp_path: Path) -> None:
    files = {"t1": _save(tmp_path / "a.nii.gz", 1), "t2": _save(tmp_path / "b.nii.gz", 0)}
    with pytest.raises(VolumeError, match="t2 of the case x contains only zeros"):
        LoadSequencesd()({"name": "x", "image": files})


def test_crop_candidates_are_brain_tumour_and_enhancing_voxels() -> None:
    image, label = torch.zeros(2, 2, 2, 2), torch.zeros(3, 2, 2, 2)
    image[1, 0, 0, 1] = -1
    label[0, 1, 0, 0] = 1

    brain, whole, enhancing = CropCandidatesd()({"image": image, "label": label})["centres"]

    assert (brain.tolist(), whole.tolist(), enhancing.tolist()) == ([1], [4], [])


def test_crop_candidates_are_thinned_evenly() -> None:
    brain = CropCandidatesd()({"image": torch.ones(1, 20, 20, 20), "label": torch.zeros(3, 20, 20, 20)})["centres"][0]

    assert len(brain) == CANDIDATES
    assert (int(brain[0]), int(brain[-1])) == (0, 7999)


def test_negative_values_are_foreground() -> None:
    assert has_signal(torch.tensor([-1.0, 0.0, 2.0]).reshape(1, 1, 1, 3)).flatten().tolist() == [True, False, True]
