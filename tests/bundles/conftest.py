"""Toy cases and a toy network to run the shipped configs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"
MODALITIES = ("t1", "t1ce", "t2", "flair")
TINY_EXPERT = {"_target_": "brats_mm.networks.expert.UNetExpert", "widths": [2, 2, 4]}
TINY_MIXTURE = {
    "_target_": "brats_mm.networks.dmome.DMoME",
    "experts": dict.fromkeys(MODALITIES, TINY_EXPERT),
    "gate": {"_target_": "brats_mm.networks.gating.GatingNetwork", "modalities": 4, "outputs": 3},
}


def write_case(root: Path, name: str, modalities: Sequence[str] = MODALITIES) -> None:
    """Write a case: a ball of brain with a tumour of three shells, 56 x 60 x 52 voxels, axes left-posterior-superior."""
    rng = np.random.default_rng(sum(map(ord, name)))
    folder = root / name
    folder.mkdir(parents=True)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    at = np.stack(np.meshgrid(*(np.arange(size) for size in (56, 60, 52)), indexing="ij"), axis=-1)
    distance = np.linalg.norm(at - (28, 30, 26), axis=-1)
    labels = np.select([distance < 5, distance < 9, distance < 14], [1, 3, 2], 0).astype(np.uint8)
    for channel, modality in enumerate(modalities):
        signal = 100.0 + 20 * ((labels > 0) * (channel + 1)) + rng.normal(0, 3, labels.shape)
        voxels = np.where(distance < 25, signal, 0).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, affine), folder / f"{name}-{modality}.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), folder / f"{name}-seg.nii.gz")


@pytest.fixture(autouse=True)
def _outside_checkout(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every config from an empty folder, because users do not run them from the checkout."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labelled cases, one of them without T2, and a split of them."""
    root = tmp_path_factory.mktemp("cases")
    write_case(root, "one")
    write_case(root, "two", ("t1", "t1ce", "flair"))
    write_case(root, "three")
    (root / "datalist.json").write_text(json.dumps({"training": ["one", "two"], "validation": ["three"]}))
    return root


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Paths of override configs with tiny networks, by config name, and of weights for the mixture."""
    root = tmp_path_factory.mktemp("tiny")
    mixture, expert = root / "mixture.json", root / "expert.json"
    mixture.write_text(json.dumps({"network_def": TINY_MIXTURE}))
    expert.write_text(json.dumps({"network_def": TINY_EXPERT}))
    torch.manual_seed(0)
    network = ConfigParser({"network_def": TINY_MIXTURE}).get_parsed_content("network_def")
    torch.save(network.state_dict(), root / "model.pt")
    return {
        "inference": str(mixture),
        "train": str(mixture),
        "pretrain_expert": str(expert),
        "weights": str(root / "model.pt"),
    }


@pytest.fixture
def bundle(tiny: dict[str, Any], tmp_path: Path) -> Path:
    """The shipped inference config and metadata with a toy network and its weights."""
    folder = tmp_path / "toy_segmentation"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    network = json.loads(Path(tiny["inference"]).read_text())
    config = {**json.loads((CONFIGS / "inference.json").read_text()), **network, "window": [64, 64, 64]}
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text((CONFIGS / "metadata.json").read_text())
    (folder / "models" / "model.pt").write_bytes(Path(tiny["weights"]).read_bytes())
    return folder
