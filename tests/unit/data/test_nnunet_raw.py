"""nnU-Net's raw folders are read as described by their dataset.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from brats_mm.data.nnunet_raw import find_nnunet_items, is_nnunet_raw
from brats_mm.errors import CaseError

CHANNELS = {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}
LABELS: dict[str, Any] = {"background": 0, "necrotic core": 1, "oedema": 2, "enhancing": 3}


def _raw(root: Path, **changed: Any) -> Path:
    description = {"channel_names": CHANNELS, "labels": LABELS, "file_ending": ".nii.gz", **changed}
    for folder, names in {
        "imagesTr": ["case_1_0000", "case_1_0001", "case_1_0002", "case_1_0003", "b_0003"],
        "labelsTr": ["case_1", "b"],
        "imagesTs": ["t_0002"],
    }.items():
        (root / folder).mkdir()
        for name in names:
            (root / folder / f"{name}.nii.gz").touch()
    (root / "dataset.json").write_text(json.dumps(description))
    return root


def test_channels_become_sequences_with_labels(tmp_path: Path) -> None:
    items = {item["name"]: item for item in find_nnunet_items(_raw(tmp_path))}

    assert is_nnunet_raw(tmp_path)
    assert list(items) == ["b", "case_1", "t"]
    assert items["case_1"]["image"] == {
        name: str(tmp_path / "imagesTr" / f"case_1_000{channel}.nii.gz")
        for channel, name in enumerate(("t1", "t1ce", "t2", "flair"))
    }
    assert items["b"] == {
        "name": "b",
        "image": {"flair": str(tmp_path / "imagesTr" / "b_0003.nii.gz")},
        "label": str(tmp_path / "labelsTr" / "b.nii.gz"),
        "label_scheme": "brats2023",
    }
    assert "label" not in items["t"]


def test_reads_older_dataset_json(tmp_path: Path) -> None:
    modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    items = {item["name"]: item for item in find_nnunet_items(_raw(tmp_path, channel_names=None, modality=modality))}

    assert items["case_1"]["image"]["flair"].endswith("case_1_0000.nii.gz")
    assert items["case_1"]["image"]["t1ce"].endswith("case_1_0002.nii.gz")


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        ({"background": 0, "edema": 1, "non-enhancing": 2, "enhancing": 3}, "msd"),
        ({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}, "msd"),
        ({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": [3]}, "brats2023"),
        ({"background": 0, "necrotic": 1, "edema": 2, "enhancing": 4}, "brats2018"),
        (
            {"background": 0, "NETC": 1, "non-enhancing core": 1, "edema": 2, "enhancing": 3, "resection cavity": 4},
            "brats2024-post-treatment",
        ),
        ({"background": 0, "enhancing": 1, "non-enhancing": 2, "cyst": 3, "edema": 4}, "brats2024-paediatric"),
    ],
)
def test_label_order_follows_dataset_json(tmp_path: Path, labels: dict[str, Any], scheme: str) -> None:
    """The second is that of nnU-Net's own conversion, Dataset137, whose oedema is 1 and core 2."""
    item = next(item for item in find_nnunet_items(_raw(tmp_path, labels=labels)) if item["name"] == "b")
    assert item["label_scheme"] == scheme


def test_rejects_unknown_label_order(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="does not state which label is oedema"):
        find_nnunet_items(_raw(tmp_path, labels={"background": 0, "tumour": 1}))


def test_channels_must_be_named_as_sequences(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"name the sequence of each channel: 1 \(noise\)"):
        find_nnunet_items(_raw(tmp_path, channel_names={"0": "T1", "1": "noise"}))


def test_reports_invalid_dataset_json(tmp_path: Path) -> None:
    (_raw(tmp_path) / "dataset.json").write_text("{")
    with pytest.raises(CaseError, match=r"dataset\.json cannot be read"):
        find_nnunet_items(tmp_path)
