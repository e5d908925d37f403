"""Two processes train one mixture together and leave the checkpoints that one process would leave."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import brats_mm
from brats_mm.errors import TrainingError
from brats_mm.training.distributed import join, untracked

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"


def test_two_processes_train_one_mixture(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = {
        "dataset_dir": str(cases),
        "output_dir": str(tmp_path / "models"),
        "experts_dir": None,
        "epochs": 1,
        "val_interval": 1,
        "batch_size": 1,
        "spacing_mm": 4.0,
        "ema_decay": 0.5,
        "window": [64, 32, 32],
        "validation_window": [64, 32, 32],
        "tensorboard_dir": str(tmp_path / "curves"),
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    files = [str(CONFIGS / "train.json"), tiny["train"], str(CONFIGS / "multi_gpu_train.json")]
    files.append(str(tmp_path / "settings.json"))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += ["-m", "monai.bundle", "run", "--config_file", str(files)]
    environment = {**os.environ, "PYTHONPATH": str(Path(brats_mm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    environment["CUDA_VISIBLE_DEVICES"] = ""

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    last = torch.load(tmp_path / "models" / "model_last.pt", weights_only=True)
    best = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert last["epoch"] == 1
    assert {name.split(".")[0] for name in best} == {"experts", "gate"}
    assert best.keys() == last["network"].keys()
    assert len(list((tmp_path / "curves").iterdir())) == 2, "training and validation, of the first process alone"


def test_without_torchrun_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(TrainingError, match="torchrun --nproc_per_node=N -m monai"):
        join()


def test_only_the_first_process_writes_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    assert (untracked("curves"), untracked(None)) == (False, True)
    monkeypatch.setenv("RANK", "1")
    assert untracked("curves")
