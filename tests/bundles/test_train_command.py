"""`brats-mm train` runs both stages, shows the settings, and reports errors in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from brats_mm.cli.main import main

pytestmark = pytest.mark.slow

QUICK = ["epochs=1", "val_interval=1", "window=[64,32,32]", "validation_window=[64,32,32]", "spacing_mm=4.0"]
QUICK += ["augmentation=paper", "device=cpu"]


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """A config that makes the networks of both stages small."""
    size = "$[2, 2, 4]"
    content = {
        "widths": size,
        "expert_def": {"_target_": "brats_mm.networks.expert.UNetExpert", "widths": [2, 2, 4]},
        "network_def": "$@expert_def if @stage == 'expert' else @mixture_def",
        "mixture_def": {
            "_target_": "brats_mm.networks.dmome.DMoME",
            "experts": {
                name: {"_target_": "brats_mm.networks.expert.UNetExpert", "widths": "@widths"}
                for name in ("t1", "t1ce", "t2", "flair")
            },
            "gate": {"_target_": "brats_mm.networks.gating.GatingNetwork", "modalities": 4, "outputs": 3},
        },
    }
    path = tmp_path / "small.json"
    path.write_text(json.dumps(content))
    return ["--config", str(path)]


def test_one_command_trains_four_experts_and_mixture(
    cases: Path, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    assert main(["train", str(cases), "-o", str(models), *small, "--set", *QUICK, "ranking_weight=0.2"]) == 0

    names = {path.name for path in models.glob("*.pt")}
    assert names >= {"model.pt", *(f"expert_{name}.pt" for name in ("t1", "t1ce", "t2", "flair"))}
    message = capsys.readouterr().out
    assert "Settings of the expert of T1ce" in message
    assert "* ranking_weight = 0.2" in message
    assert "  patience = 0" in message
    assert "experts.t1.stem.conv1.weight" in torch.load(models / "model.pt", weights_only=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["leaning_rate=0.1"], "error: Unknown settings: leaning_rate (did you mean learning_rate?)"),
        (["epochs=0"], "error: epochs is 0 but must be a whole number, 1 or more"),
        (["precision=float16"], "error: float16 needs a CUDA device"),
        (["epochs"], "error: Expected NAME=VALUE, such as epochs=100, got 'epochs'."),
    ],
)
def test_error_is_one_line(
    cases: Path, small: list[str], tmp_path: Path, settings: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(cases), "-o", str(tmp_path), *small, "--stage", "experts", "--modality", "t1", "-q"]
    assert main([*arguments, "--set", *QUICK, *settings]) in (1, 2)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert errors[0].startswith(message)


def test_dry_run_checks_and_trains_nothing(
    cases: Path, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(cases), "-o", str(tmp_path / "models"), *small, "--dry-run", "--json", "-q"]
    assert main([*arguments, "--set", *QUICK]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(document) == ["expert of T1", "expert of T1ce", "expert of T2", "expert of FLAIR", "mixture"]
    assert document["mixture"]["spacing_mm"] == 4.0
    assert not (tmp_path / "models").exists()


def test_estimate_measures_stages_and_data_and_writes_nothing(
    cases: Path, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(cases), "-o", str(tmp_path / "models"), *small, "--estimate"]
    settings = ["--set", *QUICK, "epochs=200", "val_interval=10"]
    assert main([*arguments, "--json", *settings]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(result["trainings"]) == ["expert of T1", "expert of T1ce", "expert of T2", "expert of FLAIR", "mixture"]
    assert (result["data"]["training_cases"], result["data"]["validation_cases"]) == (2, 1)
    assert result["data"]["cases_with_sequence"] == {"t1": 3, "t1ce": 3, "t2": 2, "flair": 3}
    assert result["trainings"]["expert of T2"]["training_cases"] == 1
    assert result["device"]["device"] == "cpu"
    mixture = result["trainings"]["mixture"]
    assert (mixture["epochs"], mixture["steps_per_epoch"]) == (200, 1)
    assert mixture["step_s"] > 0
    assert mixture["validation_s"] > 0
    assert result["hours"] > 200 * mixture["step_s"] / 3600
    assert not (tmp_path / "models").exists()

    assert main([*arguments, "--stage", "mixture", *settings]) == 0
    message = capsys.readouterr().out
    assert "Data: 2 cases for training, 1 for validation." in message
    assert "for 200 epochs of 1 step." in message
