"""The Decathlon's brain tumour task is read unchanged: four sequences per file, with its own label values."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from brats_mm.data.case_check import check_cases
from brats_mm.data.datalist import load_training_items
from brats_mm.data.decathlon import add_volumes, is_decathlon
from brats_mm.data.transforms import LabelsToRegionsd, LoadSequencesd
from brats_mm.errors import CaseError, VolumeError
from brats_mm.io.labelled_cases import list_labelled_cases
from brats_mm.pipeline.datalists import write_datalists

DESCRIPTION: dict[str, Any] = {
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    "training": [
        {"image": f"./imagesTr/BRATS_00{n}.nii.gz", "label": f"./labelsTr/BRATS_00{n}.nii.gz"} for n in (1, 2)
    ],
    "test": ["./imagesTs/BRATS_009.nii.gz"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Volumes with the values 1, 2, 3 and 4 in order, and labels 1, 2 and 3 at three voxels."""
    for folder, numbers in (("imagesTr", (1, 2)), ("imagesTs", (9,)), ("labelsTr", (1, 2))):
        (tmp_path / folder).mkdir()
        for number in numbers:
            data = np.ones((6, 6, 6, 4), np.float32) * np.arange(1, 5)
            if folder == "labelsTr":
                data = np.zeros((6, 6, 6), np.uint8)
                data[1, 1, 1:4] = (1, 2, 3)
            nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / folder / f"BRATS_00{number}.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps(DESCRIPTION))
    return tmp_path


def test_sequences_and_labels_follow_list(root: Path) -> None:
    item = load_training_items(root, root / "dataset.json", "training")[0]
    loaded = LabelsToRegionsd()(LoadSequencesd()(item))

    assert item["name"] == "BRATS_001"
    assert loaded["image"][:, 0, 0, 0].tolist() == [2, 3, 4, 1]
    assert loaded["available"].all()
    wt, tc, et = (loaded["label"][region, 1, 1, 1:4].tolist() for region in range(3))
    assert (wt, tc, et) == ([1, 1, 1], [0, 1, 1], [0, 0, 1])


def test_single_expert_reads_only_its_volume(root: Path) -> None:
    item = load_training_items(root, root / "dataset.json", "training", needs=["t1ce"])[0]
    assert torch.unique(torch.as_tensor(LoadSequencesd(["t1ce"])(item)["image"])).tolist() == [3]


def test_folder_is_split_like_any_other(root: Path) -> None:
    assert is_decathlon(root)
    (written,) = write_datalists(root, root / "list.json")

    assert written.counts == {"training": 1, "validation": 1, "testing": 1}
    item = load_training_items(root, written.path, "validation")[0]
    assert LoadSequencesd()(item)["image"].shape == (4, 6, 6, 6)
    assert check_cases(root, written.path) == 2


def test_files_with_too_few_volumes_are_reported_before_training(root: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((6, 6, 6, 2), np.float32), np.eye(4)), root / "imagesTr" / "BRATS_002.nii.gz")
    with pytest.raises(CaseError, match=r"BRATS_002\.nii\.gz has 2 volumes, too few for its sequences"):
        check_cases(root, root / "dataset.json", sections=("training",))
    with pytest.raises(VolumeError, match="there is no volume 2"):
        LoadSequencesd()(load_training_items(root, root / "dataset.json", "training")[1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"modality": {}}, "the sequence of each channel: it has no channel_names"),
        ({"modality": {"0": "MRI"}}, r"the sequence of each channel: 0 \(MRI\)"),
        ({"labels": {"1": "tumour"}}, "does not state which label is oedema"),
    ],
)
def test_rejects_incomplete_list(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        add_volumes(DESCRIPTION["training"][0], {**DESCRIPTION, **changed}, Path("dataset.json"))


def test_evaluation_rejects_decathlon_files(root: Path) -> None:
    with pytest.raises(CaseError, match="BRATS_001 has all sequences in one file"):
        list_labelled_cases(root / "dataset.json", section="training")


def test_other_folders_are_not_decathlon(tmp_path: Path) -> None:
    assert not is_decathlon(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(DESCRIPTION))
    assert not is_decathlon(tmp_path)
