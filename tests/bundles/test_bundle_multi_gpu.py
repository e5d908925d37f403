"""Two processes train one mixture and write the same checkpoints as one process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

import brats_mm
from brats_mm.errors import TrainingError
from brats_mm.io.bundle import list_training_configs
from brats_mm.training.distributed import is_untracked, join

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"


def _train_with_two(stage: str, cases: Path, tiny: dict[str, Any], folder: Path, **override: Any) -> None:
    settings = {
        "dataset_dir": str(cases),
        "output_dir": str(folder / "models"),
        "epochs": 1,
        "val_interval": 1,
        "batch_size": 1,
        "spacing_mm": 4.0,
        "ema_decay": 0.5,
        "window": [64, 32, 32],
        "validation_window": [64, 32, 32],
        **override,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    files = [*map(str, list_training_configs(CONFIGS, stage)), tiny[stage], str(CONFIGS / "multi_gpu_train.json")]
    files.append(str(folder / "settings.json"))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += ["-m", "monai.bundle", "run", "--config_file", str(files)]
    environment = {**os.environ, "PYTHONPATH": str(Path(brats_mm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    environment["CUDA_VISIBLE_DEVICES"] = ""

    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_two_processes_train_one_mixture(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    _train_with_two("train", cases, tiny, tmp_path, experts_dir=None, tensorboard_dir=str(tmp_path / "curves"))

    last = torch.load(tmp_path / "models" / "model_last.pt", weights_only=True)
    best = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert last["epoch"] == 1
    assert {name.split(".")[0] for name in best} == {"experts", "gate"}
    assert best.keys() == last["network"].keys()
    assert len(list((tmp_path / "curves").iterdir())) == 2, "training and validation, of the first process alone"


def test_two_processes_train_expert_with_deep_supervision(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """Every head in the loss changes, including that of the second level, which only deep supervision trains."""
    start = ConfigParser.load_config_file(tiny["pretrain_expert"])
    expert = ConfigParser(start).get_parsed_content("network_def")
    torch.save(expert.state_dict(), tmp_path / "start.pt")

    initial = str(tmp_path / "start.pt")
    _train_with_two("pretrain_expert", cases, tiny, tmp_path, supervised_levels=2, initial_weights=initial)

    last = torch.load(tmp_path / "models" / "expert_flair_last.pt", weights_only=True)["network"]
    assert last.keys() == expert.state_dict().keys()
    assert not any(torch.equal(last[f"heads.{level}.weight"], expert.heads[level].weight) for level in (0, 1))


def test_error_without_torchrun_names_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(TrainingError, match="torchrun --nproc_per_node=N -m monai"):
        join()


def test_only_first_process_writes_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    assert (is_untracked("curves"), is_untracked(None)) == (False, True)
    monkeypatch.setenv("RANK", "1")
    assert is_untracked("curves")
