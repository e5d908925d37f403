"""MONAI runs a created or copied bundle with its own weights, not those of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

import brats_mm
from brats_mm.errors import BundleError
from brats_mm.io.bundle import list_training_configs, open_bundle
from brats_mm.io.running_bundle import bundle_folder
from brats_mm.packaging.create import create_bundle
from brats_mm.pipeline.segmenter import Segmenter

pytestmark = pytest.mark.slow


@pytest.fixture
def packed(tiny: dict[str, Any], tmp_path: Path) -> Path:
    """A bundle of the toy network, created from a training run with its config."""
    folder = tmp_path / "packed"
    create_bundle([Path(tiny["weights"])], folder, open_bundle(None), version="9", configs=[Path(tiny["train"])])
    return folder


@pytest.mark.parametrize("copied", [False, True])
def test_bundle_runner_matches_library_with_same_bundle(
    cases: Path, packed: Path, tmp_path: Path, copied: bool
) -> None:
    bundle = Path(shutil.copytree(packed, tmp_path / "elsewhere")) if copied else packed
    case = tmp_path / "cases" / "one"
    case.mkdir(parents=True)
    for modality in ("t1ce", "flair"):
        shutil.copy(cases / "one" / f"one-{modality}.nii.gz", case)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(bundle / "configs/inference.json")]
    command += ["--dataset_dir", str(case.parent), "--output_dir", str(tmp_path / "out"), "--device", "cpu"]

    environment = {**os.environ, "PYTHONPATH": str(Path(brats_mm.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    expected = Segmenter.from_bundle(bundle, device="cpu", backend="torch").predict(case).labels()
    saved = np.asarray(nib.load(tmp_path / "out" / "one" / "segmentation.nii.gz").dataobj)
    assert expected.any()
    assert np.array_equal(saved, expected)


@pytest.mark.parametrize("name", ["train", "pretrain_expert"])
def test_bundle_root_is_folder_of_its_config(packed: Path, name: str) -> None:
    workflow = ConfigWorkflow(
        [str(path) for path in list_training_configs(packed / "configs", name)], logging_file=False
    )
    workflow.parser["initialize"] = ["$@bundle_root"]
    assert workflow.initialize() == [str(packed)]


def test_config_outside_bundle_uses_current_directory(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lone.json").write_text(
        json.dumps(
            {
                "imports": ["$from brats_mm.io.running_bundle import bundle_folder"],
                "initialize": ["$bundle_folder()"],
            }
        )
    )
    workflow = ConfigWorkflow(str(tmp_path / "lone.json"), logging_file=False)
    monkeypatch.chdir(packed)
    assert workflow.initialize() == [str(packed)]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="--bundle_root"):
        bundle_folder()


def test_toy_weights_differ_from_shipped_weights(packed: Path) -> None:
    mine = torch.load(packed / "models" / "model.pt", weights_only=True)
    shipped = torch.load(open_bundle(None).weights, weights_only=True)
    assert mine.keys() != shipped.keys() or any(not torch.equal(mine[name], shipped[name]) for name in mine)
