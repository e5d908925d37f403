"""MLflow gets the settings and curves of a training run, and one command trains every expert."""

from pathlib import Path
from typing import Any

import fire
import pytest
import torch
from monai.bundle import run

from brats_mm.domain.modality import MODALITIES
from brats_mm.io.bundle import list_training_configs, open_bundle
from brats_mm.training.two_stages import Plan, train

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"


def _command(cases: Path, tiny: dict[str, Any], models: Path, *override: str) -> list[str]:
    """Return the arguments of `python -m monai.bundle run` for an epoch of stage 1 with a tiny network."""
    command = [
        "--config_file",
        str([*map(str, list_training_configs(CONFIGS, "pretrain_expert")), tiny["pretrain_expert"]]),
    ]
    command += ["--dataset_dir", str(cases), "--output_dir", str(models), "--logging_file", "False", "--device", "cpu"]
    command += ["--epochs", "1", "--val_interval", "1", "--spacing_mm", "4.0"]
    return [*command, "--window", "[64,32,32]", "--validation_window", "[64,32,32]", *override]


def test_mlflow_has_parameters_and_scores_and_resumed_training_continues_run(
    cases: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = tmp_path / "tracked"
    settings = ["--mlflow", str(store), "--modality", "t1", "--learning_rate", "0.003"]

    fire.Fire(run, command=_command(cases, tiny, tmp_path, *settings))
    fire.Fire(run, command=_command(cases, tiny, tmp_path, *settings, "--epochs", "3", "--resume", "true"))

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("brats_mm")
    result = client.search_runs([experiment.experiment_id])
    assert [(one.info.run_name, one.info.status) for one in result] == [("expert_t1", "FINISHED")]
    assert result[0].data.params.items() >= {"learning_rate": "0.003", "modality": "t1", "precision": "float32"}.items()
    assert result[0].data.params["loss"] == "brats_mm.losses.deep_supervision.LevelsLoss"
    curves = {
        name: client.get_metric_history(result[0].info.run_id, name)
        for name in ("mean_loss", "val_mean_dice", "images_per_second", "learning_rate")
    }
    assert {name: [point.step for point in curve] for name, curve in curves.items()} == {
        key: [1, 2, 3] for key in curves
    }
    best = torch.load(tmp_path / "expert_t1_last.pt", weights_only=True)["best"]["score"]
    assert max(point.value for point in curves["val_mean_dice"]) == pytest.approx(best)


def test_failed_training_is_marked_as_failed(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    settings = ["--mlflow", str(tmp_path / "tracked"), "--learning_rate", "1e30"]

    with pytest.raises(Exception, match=r"run|not finite|is nan|is inf"):
        fire.Fire(run, command=_command(cases, tiny, tmp_path, *settings, "--epochs", "4", "--clip_norm", "0"))

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'tracked' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("brats_mm")
    assert [one.info.status for one in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_progress_bar_is_one_override(
    cases: Path, tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fire.Fire(run, command=_command(cases, tiny, tmp_path, "--progress_bar", "true"))
    assert "Epoch 1 of 1:" in capsys.readouterr().err


def test_rejects_float16_on_cpu(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"mixed_precision|instantiate") as error:
        fire.Fire(run, command=_command(cases, tiny, tmp_path, "--precision", "float16"))

    cause: BaseException = error.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert "Use --precision bfloat16" in str(cause)


def test_one_command_trains_experts_of_all_modalities(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    sides = {"window": [64, 32, 32], "validation_window": [64, 32, 32]}
    settings = {**sides, "device": "cpu", "epochs": 1, "val_interval": 1, "spacing_mm": 4.0, "seed": 5}
    plan = Plan(cases, tmp_path, stage="experts", configs=(str(tiny["pretrain_expert"]),), settings=settings)

    train(open_bundle(CONFIGS.parent), plan)

    weights = {one: torch.load(tmp_path / f"expert_{one.value}.pt", weights_only=True) for one in MODALITIES}
    assert len(weights) == 4
    for one in MODALITIES:
        last = torch.load(tmp_path / f"expert_{one.value}_last.pt", weights_only=True)
        assert (last["epoch"], last["seed"]) == (1, {"seed": 5})
    first, *others = (state["stem.conv1.weight"] for state in weights.values())
    assert not any(torch.equal(first, other) for other in others)
