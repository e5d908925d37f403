"""configs/methods/mwam.json changes the training of stage 2 and keeps its network."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from tests.fakes.methods import NETWORKS

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"
SMALL = {
    "device": "cpu",
    "epochs": 2,
    "val_interval": 2,
    "window": [64, 32, 32],
    "validation_window": [64, 32, 32],
    "spacing_mm": 4.0,
    "experts_dir": "none",
    "augmentation": "paper",
}
FINER = {"mwam::ratio::patch": 4}
"""The synthetic brains have a diameter of 12 voxels, so no patch of 8 is inside."""

NAMES = ("t1", "t1ce", "flair")
MWAM = str(CONFIGS / "methods" / "mwam.json")


def _run(tiny: dict[str, Any], cases: Path, models: Path, *overlay: str, until: int | None = None, **more: Any) -> Any:
    files = [str(CONFIGS / "train.json"), tiny["train"], *overlay]
    places = {"dataset_dir": str(cases), "output_dir": str(models)}
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, **{**SMALL, **places, **more})
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    if until is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED(once=until), lambda engine: engine.terminate())
    trainer.run()
    workflow.finalize()
    return trainer


def _last(models: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(models / "model_last.pt", weights_only=True)
    return state


def test_ratios_are_logged_and_resumed_training_restores_bank(
    cases: Path, tiny: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    curves = tmp_path / "curves"
    with caplog.at_level("INFO", logger="brats_mm"):
        trainer = _run(tiny, cases, tmp_path / "straight", MWAM, tensorboard_dir=str(curves), **FINER)
    _run(tiny, cases, tmp_path / "resumed", MWAM, until=1, **FINER)
    half = _last(tmp_path / "resumed")
    _run(tiny, cases, tmp_path / "resumed", MWAM, resume="true", **FINER)

    uninterrupted, resumed = _last(tmp_path / "straight"), _last(tmp_path / "resumed")
    assert not torch.equal(half["mwam"]["ratios"], uninterrupted["mwam"]["ratios"])
    torch.testing.assert_close(resumed["mwam"]["ratios"], uninterrupted["mwam"]["ratios"], equal_nan=True)
    for name, value in uninterrupted["network"].items():
        torch.testing.assert_close(resumed["network"][name], value)
    assert "Frequency ratios: t1 " in caplog.text
    assert 0.5 <= trainer.state.metrics["mwam_t1"] <= 1.5
    tags = reader.EventAccumulator(str(curves)).Reload().Tags()["scalars"]
    assert {f"{kind}_{name}" for kind in ("frm", "mwam") for name in NAMES} <= set(tags)


def test_only_weights_of_one_leave_training_unchanged(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    ones = {**FINER, "mwam::weights::alpha": 1.0, "mwam::weights::beta": 0.0}
    _run(tiny, cases, tmp_path / "plain", epochs=1)
    _run(tiny, cases, tmp_path / "ones", MWAM, epochs=1, **ones)
    _run(tiny, cases, tmp_path / "loss", MWAM, epochs=1, mwam_form="loss", **FINER)

    plain, ones, loss = (_last(tmp_path / name)["network"] for name in ("plain", "ones", "loss"))
    assert all(torch.equal(ones[name], value) for name, value in plain.items())
    assert not torch.equal(loss["experts.t1.stem.conv1.weight"], plain["experts.t1.stem.conv1.weight"])


def test_mwam_wraps_mmp_training_with_encoders_as_branches(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    mmp = str(CONFIGS / "methods" / "mmp.json")
    settings = {"epochs": 1, "network_def": NETWORKS["mmp"], "mwam::branches": "encoders", **FINER}
    trainer = _run(tiny, cases, tmp_path, mmp, MWAM, **settings)

    assert {f"frm_{name}" for name in NAMES} <= trainer.state.metrics.keys()
    assert "mwam" in _last(tmp_path)
