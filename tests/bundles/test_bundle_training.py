"""The shipped training configs train an expert, then the mixture that starts from the experts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.metrics import DiceMetric

import brats_mm
from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.errors import BundleError
from brats_mm.io.bundle import list_training_configs

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"
SMALL = {
    "device": "cpu",
    "epochs": 1,
    "val_interval": 1,
    "batch_size": 2,
    "window": [64, 32, 32],
    "validation_window": [64, 32, 32],
}


def _workflow(name: str, tiny: dict[str, Any], **override: Any) -> ConfigWorkflow:
    files = [*map(str, list_training_configs(CONFIGS, name)), tiny[name]]
    return ConfigWorkflow(files, workflow_type="train", logging_file=False, **{**SMALL, **override})


def test_each_stage_writes_checkpoints_for_next_stage(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    models = tmp_path / "models"
    stage = _workflow("pretrain_expert", tiny, dataset_dir=str(cases), output_dir=str(models))
    stage.initialize()
    assert stage.check_properties() == []
    stage.run()
    stage.finalize()
    written = {"expert_flair.pt", "expert_flair_last.pt"}
    assert {path.name for path in models.iterdir()} == written | {f"{name}.json" for name in written}

    for modality in ("t1", "t1ce", "t2"):
        shutil.copy(models / "expert_flair.pt", models / f"expert_{modality}.pt")
    mixture = _workflow("train", tiny, dataset_dir=str(cases), output_dir=str(models), augmentation="paper")
    mixture.initialize()
    assert mixture.check_properties() == []
    start = mixture.parser.get_parsed_content("network").experts["flair"].state_dict()
    for name, value in torch.load(models / "expert_flair.pt", weights_only=True).items():
        assert torch.equal(start[name], value)
    mixture.run()
    mixture.finalize()

    saved = torch.load(models / "model.pt", weights_only=True)
    assert {name.split(".")[0] for name in saved} == {"experts", "gate"}


def test_validation_score_is_mean_dice_over_15_subsets(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """Scored together in one pass of the experts, equal to 15 passes with one subset each."""
    mixture = _workflow("train", tiny, dataset_dir=str(cases), output_dir=str(tmp_path), experts_dir=None)
    mixture.initialize()
    evaluator = mixture.parser.get_parsed_content("validate::evaluator")
    case = next(iter(mixture.parser.get_parsed_content("validate::dataloader")))

    evaluator.run()

    network = evaluator.network.eval()
    plain = DiceMetric(include_background=True)
    with torch.no_grad():
        for subset in SUBSETS:
            logits = network(case["image"].as_tensor(), torch.tensor([to_flags(subset)]))
            plain((logits >= 0).float(), case["label"].as_tensor())
    assert evaluator.state.metrics["val_mean_dice"] == pytest.approx(float(plain.aggregate()), abs=1e-5)


def test_mixture_without_experts_names_training_command(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    mixture = _workflow("train", tiny, dataset_dir=str(cases), output_dir=str(tmp_path))
    mixture.initialize()

    with pytest.raises(Exception, match="instantiate") as error:
        mixture.run()

    cause = error.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert isinstance(cause, BundleError)
    assert "--stage experts --modality t1" in str(cause)


def test_command_line_pretrains_expert_from_any_working_directory(
    cases: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file"]
    command += [
        str([*map(str, list_training_configs(CONFIGS, "pretrain_expert")), tiny["pretrain_expert"]]),
        "--modality",
        "t1ce",
    ]
    for name, value in {**SMALL, "dataset_dir": cases}.items():
        command += [f"--{name}", str(value)]

    environment = {**os.environ, "PYTHONPATH": str(Path(brats_mm.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "models" / "expert_t1ce.pt").is_file()
