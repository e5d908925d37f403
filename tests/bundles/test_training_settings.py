"""Settings of a training run: records next to checkpoints, errors, learning rates after a resume, and metrics."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from brats_mm.errors import BundleError, OptionError, TrainingError
from brats_mm.io.bundle import list_training_configs, open_bundle
from brats_mm.packaging.create import create_bundle
from brats_mm.pipeline.network import load_network
from brats_mm.training.record import read_record

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"
SMALL = {
    "device": "cpu",
    "epochs": 1,
    "val_interval": 1,
    "window": [64, 32, 32],
    "validation_window": [64, 32, 32],
    "spacing_mm": 4.0,
    "augmentation": "paper",
    "experts_dir": "none",
}


def _workflow(tiny: dict[str, Any], cases: Path, models: Path, stage: str = "train", **override: Any) -> ConfigWorkflow:
    files = [*map(str, list_training_configs(CONFIGS, stage)), tiny[stage]]
    places = {"dataset_dir": str(cases), "output_dir": str(models)}
    return ConfigWorkflow(files, workflow_type="train", logging_file=False, **{**SMALL, **places, **override})


def _run(workflow: ConfigWorkflow) -> Any:
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    trainer.run()
    workflow.finalize()
    return trainer


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@pytest.fixture(scope="module")
def trained(cases: Path, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training run of one epoch at 4 mm."""
    models = tmp_path_factory.mktemp("trained")
    _run(_workflow(tiny, cases, models))
    return models


def test_record_next_to_checkpoint_has_training_settings(trained: Path, cases: Path) -> None:
    for name in ("model.pt", "model_last.pt"):
        record = read_record(trained / name)
        assert record is not None
        assert record["settings"]["spacing_mm"] == 4.0
        assert record["settings"]["window"] == [64, 32, 32]
        assert record["changed"]["spacing_mm"] == 4.0
        assert "patience" not in record["changed"]
        assert record["config"]["optimizer"]["_target_"] == "torch.optim.AdamW"
        assert {"torch", "monai", "brats-mm"} <= set(record["versions"])
        assert len(record["settings"]["datalist_sha256"]) == 64


def test_bundle_create_uses_network_and_voxel_size_of_training(trained: Path, tmp_path: Path) -> None:
    create_bundle([trained / "model.pt"], tmp_path / "packed", open_bundle(None), version="1")
    _, identity = load_network(open_bundle(tmp_path / "packed"))
    assert identity.spacing_mm == 4.0


def test_bundle_create_rejects_configs_of_other_training(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"spacing_mm": 3.0}))
    with pytest.raises(BundleError, match=r"spacing_mm was 4\.0 and is now 3\.0"):
        create_bundle(
            [trained / "model.pt"],
            tmp_path / "packed",
            open_bundle(None),
            version="1",
            configs=[tmp_path / "other.json"],
        )


def test_resume_rejects_other_data_settings(trained: Path, cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    listed = tmp_path / "other.json"
    listed.write_text(json.dumps({"training": ["one"], "validation": ["three"]}))
    with pytest.raises(
        TrainingError, match=r"spacing_mm was 4\.0 and is now 3\.0.*augmentation was paper and is now small_data"
    ):
        _run(_workflow(tiny, cases, trained, resume=True, epochs=2, spacing_mm=3.0, augmentation="small_data"))
    with pytest.raises(TrainingError, match="datalist_sha256"):
        _run(_workflow(tiny, cases, trained, resume=True, epochs=2, datalist=str(listed)))


def test_rejects_weights_of_other_voxel_size_unless_allowed(
    trained: Path, cases: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    start = {"initial_weights": str(trained / "model.pt"), "spacing_mm": 3.0}
    with pytest.raises(Exception, match="instantiate") as caught:
        _run(_workflow(tiny, cases, tmp_path, **start))
    assert "was trained with voxels of 4.0 mm, but this run uses 3.0 mm" in str(_cause(caught.value))
    workflow = _workflow(tiny, cases, tmp_path, **start, allow_other_spacing="true")
    workflow.initialize()
    assert workflow.parser.get_parsed_content("network") is not None


def test_resume_applies_new_learning_rate_from_first_epoch(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """A cosine over 2 epochs ends at 0. With 4 epochs, the third runs at half of the full rate."""
    rates: list[float] = []
    _run(_workflow(tiny, cases, tmp_path, epochs=2, learning_rate=0.01))
    workflow = _workflow(tiny, cases, tmp_path, epochs=4, learning_rate=0.002, resume=True)
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: rates.append(engine.optimizer.param_groups[0]["lr"]))
    trainer.run()
    assert rates == pytest.approx([0.001, 0.002 * 0.5 * (1 - 2**-0.5)])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"leaning_rate": 0.1}, r"Unknown settings: leaning_rate \(did you mean learning_rate\?\)"),
        ({"epoch": 3}, r"epoch \(did you mean epochs\?\)"),
        ({"epochs": 0}, "epochs is 0 but must be a whole number, 1 or more"),
        ({"learning_rate": -1}, "learning_rate is -1 but must be above 0"),
        ({"window": [30, 32, 32]}, "window is .* but must be three multiples of 16"),
        ({"window": [32, 32, 32]}, "the gate needs a side above 32"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"cache_rate": 3}, "cache_rate is 3"),
        ({"spacing_mm": "big"}, "spacing_mm is 'big'"),
    ],
)
def test_rejects_unknown_settings_and_impossible_values_at_start(
    cases: Path, tiny: dict[str, Any], tmp_path: Path, override: dict[str, Any], message: str
) -> None:
    workflow = _workflow(tiny, cases, tmp_path)
    workflow.parser.update(override)
    with pytest.raises(Exception, match="evaluate") as caught:
        workflow.initialize()
    assert isinstance(_cause(caught.value), OptionError)
    with pytest.raises(OptionError, match=message):
        raise _cause(caught.value)


def test_window_of_48_trains_gate_and_32_an_expert(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    side = {"window": [48, 48, 48], "validation_window": [48, 48, 48]}
    network = {"network_def": {"_target_": "brats_mm.networks.presets.simmlm", "size": "light"}}
    workflow = _workflow(tiny, cases, tmp_path, **side, **network)
    workflow.initialize()
    mixture = workflow.parser.get_parsed_content("network").train()
    assert mixture(torch.rand(1, 4, 48, 48, 48), torch.ones(1, 4, dtype=torch.bool)).shape == (1, 3, 48, 48, 48)
    _run(_workflow(tiny, cases, tmp_path, "pretrain_expert", window=[32, 32, 32], validation_window=[32, 32, 32]))


@pytest.mark.parametrize("metric", ["val_loss", "val_dice_et", "val_dice_without_t1ce"])
def test_best_checkpoint_is_chosen_by_named_metric(
    cases: Path, tiny: dict[str, Any], tmp_path: Path, metric: str
) -> None:
    workflow = _workflow(tiny, cases, tmp_path, checkpoint_metric=metric)
    _run(workflow)
    result = workflow.parser.get_parsed_content("validate::evaluator").state.metrics
    best = torch.load(tmp_path / "model_last.pt", weights_only=True)["best"]["score"]
    assert best == pytest.approx(-result[metric] if metric == "val_loss" else result[metric])
    means = [result[f"val_dice_{region}"] for region in ("wt", "tc", "et")]
    assert sum(means) / 3 == pytest.approx(result["val_mean_dice"], abs=1e-5)


@pytest.mark.parametrize(("stage", "epochs", "rate"), [("train", 300, 0.001), ("pretrain_expert", 500, 0.01)])
def test_paper_recipe_is_one_setting(
    cases: Path, tiny: dict[str, Any], tmp_path: Path, stage: str, epochs: int, rate: float
) -> None:
    files = [*map(str, list_training_configs(CONFIGS, stage)), str(CONFIGS / "paper.json"), tiny[stage]]
    places = {"dataset_dir": str(cases), "output_dir": str(tmp_path), "experts_dir": "none", "device": "cpu"}
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, **places)
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    optimizer = workflow.parser.get_parsed_content("optimizer")
    assert trainer.state.max_epochs == epochs
    assert type(optimizer) is torch.optim.Adam
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (rate, 0.0)
    content = workflow.parser.get_parsed_content("record").settings
    assert (content["spacing_mm"], content["window"], content["batch_size"]) == (1.0, [128, 128, 128], 4)
    assert content["checkpoint_metric"] == "val_loss"
