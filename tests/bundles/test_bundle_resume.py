"""Training resumes, reports faults before it starts, and logs progress."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from brats_mm.errors import CaseError, TrainingError
from brats_mm.io.bundle import list_training_configs

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"
SMALL = {
    "device": "cpu",
    "epochs": 4,
    "val_interval": 1,
    "window": [64, 32, 32],
    "validation_window": [64, 32, 32],
    "spacing_mm": 4.0,
    "ema_decay": 0.9,
    "schedule": "poly",
}


def _workflow(
    tiny: dict[str, Any], cases: Path, models: Path, stage: str = "pretrain_expert", **override: Any
) -> ConfigWorkflow:
    files = [*map(str, list_training_configs(CONFIGS, stage)), tiny[stage]]
    places = {"dataset_dir": str(cases), "output_dir": str(models)}
    return ConfigWorkflow(files, workflow_type="train", logging_file=False, **{**SMALL, **places, **override})


def _run(workflow: ConfigWorkflow, *, until: int | None = None) -> None:
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    if until is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED(once=until), lambda engine: engine.terminate())
    trainer.run()
    workflow.finalize()


def _flat(value: Any) -> list[float]:
    if isinstance(value, torch.Tensor):
        return [float(number) for number in value.flatten()]
    if isinstance(value, dict):
        return [number for one in value.values() for number in _flat(one)]
    if isinstance(value, (list, tuple)):
        return [number for one in value for number in _flat(one)]
    return [float(value)] if isinstance(value, (int, float)) else []


@pytest.mark.parametrize(
    ("stage", "file", "settings"),
    [
        ("pretrain_expert", "expert_flair_last.pt", {}),
        ("train", "model_last.pt", {"experts_dir": None, "augmentation": "paper", "val_interval": 2}),
    ],
)
def test_two_epochs_and_two_resumed_epochs_equal_four(
    cases: Path, tiny: dict[str, Any], tmp_path: Path, stage: str, file: str, settings: dict[str, Any]
) -> None:
    _run(_workflow(tiny, cases, tmp_path / "straight", stage, **settings))
    _run(_workflow(tiny, cases, tmp_path / "resumed", stage, **settings), until=2)
    half = torch.load(tmp_path / "resumed" / file, weights_only=True)
    torch.rand(5)  # independent of other random draws in between
    _run(_workflow(tiny, cases, tmp_path / "resumed", stage, **settings, resume="true"))

    uninterrupted, resumed = (torch.load(tmp_path / run / file, weights_only=True) for run in ("straight", "resumed"))
    assert (half["epoch"], resumed["epoch"]) == (2, 4)
    assert _flat(half["network"]) != _flat(resumed["network"])
    for part in ("network", "average", "optimizer", "lr_scheduler", "best", "seed"):
        assert _flat(resumed[part]) == pytest.approx(_flat(uninterrupted[part]), abs=1e-6), part
    assert resumed["best"]["score"] > 0


def test_best_checkpoint_holds_averaged_weights(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    _run(_workflow(tiny, cases, tmp_path, epochs=1))

    best = torch.load(tmp_path / "expert_flair.pt", weights_only=True)
    last = torch.load(tmp_path / "expert_flair_last.pt", weights_only=True)
    assert all(torch.equal(best[name], value) for name, value in last["average"]["values"].items())
    assert not torch.equal(best["stem.conv1.weight"], last["network"]["stem.conv1.weight"])


def test_non_finite_loss_ends_run_and_keeps_last_checkpoint(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    workflow = _workflow(tiny, cases, tmp_path)
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")

    @trainer.on(Events.EPOCH_STARTED(once=2))
    def corrupt(engine: Any) -> None:
        engine.loss_function = lambda levels, target: levels[0].sum() * float("nan")

    with pytest.raises(TrainingError, match=r"loss is nan in epoch 2, step 2, on (one, two|two, one)"):
        trainer.run()

    last = torch.load(tmp_path / "expert_flair_last.pt", weights_only=True)
    assert last["epoch"] == 1
    assert all(bool(torch.isfinite(value).all()) for value in last["network"].values())


def test_rejects_checkpoint_of_other_network(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"network": {}, "epoch": 1}, tmp_path / "expert_flair_last.pt")
    with pytest.raises(TrainingError, match=r"expert_flair_last\.pt does not fit this training run"):
        _run(_workflow(tiny, cases, tmp_path, resume="true"))


def test_resume_rejects_other_optimizer_and_steps_but_accepts_learning_rate(
    cases: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    _run(_workflow(tiny, cases, tmp_path, epochs=1))

    changed = {"optimizer::_target_": "torch.optim.SGD", "steps::divisible::k": 8}
    with pytest.raises(TrainingError) as error:
        _run(_workflow(tiny, cases, tmp_path, epochs=2, resume=True, **changed))
    assert "optimizer::_target_ was torch.optim.AdamW and is now torch.optim.SGD" in str(error.value)
    assert "steps::divisible::k was 16 and is now 8" in str(error.value)

    _run(_workflow(tiny, cases, tmp_path, epochs=2, resume=True, learning_rate=0.0001))
    assert torch.load(tmp_path / "expert_flair_last.pt", weights_only=True)["epoch"] == 2


def test_resume_without_checkpoint_starts_from_beginning(
    cases: Path, tiny: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _run(_workflow(tiny, cases, tmp_path, resume=True, epochs=1))

    assert "No checkpoint" in caplog.text
    assert (tmp_path / "expert_flair_last.pt").is_file()


def test_faulty_cases_are_reported_before_training_unless_check_is_disabled(
    cases: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    listed = tmp_path / "list.json"
    listed.write_text('{"training": ["one", "absent"], "validation": ["nobody"]}')

    _workflow(tiny, cases, tmp_path, datalist=str(listed), check_cases="false").initialize()
    with pytest.raises(Exception, match="check_cases") as error:
        _workflow(tiny, cases, tmp_path, datalist=str(listed)).initialize()

    cause: BaseException = error.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert isinstance(cause, CaseError)
    assert "absent" in str(cause)
    assert "nobody" in str(cause)


def test_tensorboard_has_curves_with_deep_supervision(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    curves = tmp_path / "curves"
    _run(_workflow(tiny, cases, tmp_path, epochs=1, tensorboard_dir=str(curves), supervised_levels=2))

    tags = reader.EventAccumulator(str(curves)).Reload().Tags()["scalars"]
    assert {"train_loss", "val_mean_dice", "mean_loss", "data_wait_share", "learning_rate"} <= set(tags)


def test_bundle_runner_can_add_tracking(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    workflow = _workflow(tiny, cases, tmp_path, tracking="mlflow", save_execute_config=False)

    for handlers in ("train::handlers", "validate::handlers"):
        assert workflow.parser[handlers][-1]["_target_"] == "MLFlowHandler"
