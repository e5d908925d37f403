"""MONAI's federated client trains and evaluates the bundle, and `evaluate.json` scores a checkpoint."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.fl.client.monai_algo import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from brats_mm.io.bundle import open_bundle

pytestmark = pytest.mark.slow

SMALL = {
    "device": "cpu",
    "val_interval": 1,
    "window": [64, 32, 32],
    "validation_window": [64, 32, 32],
    "spacing_mm": 4.0,
    "augmentation": "paper",
    "experts_dir": "none",
}


@pytest.fixture
def bundle(cases: Path, tiny: dict[str, Any], tmp_path: Path) -> Path:
    """A bundle of the toy network with small settings."""
    folder = tmp_path / "bundle"
    shutil.copytree(open_bundle(None).root / "configs", folder / "configs")
    (folder / "models").mkdir()
    shutil.copy(tiny["weights"], folder / "models" / "model.pt")
    content = json.loads((folder / "configs" / "train.json").read_text())
    network = json.loads(Path(tiny["train"]).read_text())
    (folder / "configs" / "train.json").write_text(
        json.dumps({**content, **SMALL, **network, "dataset_dir": str(cases), "output_dir": str(tmp_path / "out")})
    )
    return folder


def _client(bundle: Path, name: str) -> MonaiAlgo:
    client = MonaiAlgo(bundle_root=str(bundle), local_epochs=1)
    client.initialize(extra={ExtraItems.CLIENT_NAME: name})
    return client


@pytest.mark.filterwarnings("ignore:executing the bundle config")
def test_two_clients_train_two_rounds_with_default_arguments(bundle: Path) -> None:
    clients = [_client(bundle, "a"), _client(bundle, "b")]
    weights = {name: value.clone() for name, value in clients[0].trainer.network.state_dict().items()}
    start = weights
    for _ in range(2):
        changes = []
        for client in clients:
            client.train(ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS))
            sent = client.get_weights()
            assert sent.weight_type == WeightType.WEIGHT_DIFF
            changes.append(sent.weights)
        weights = {name: value + sum(one[name] for one in changes) / len(changes) for name, value in weights.items()}
        metrics = clients[0].evaluate(ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS)).metrics
        assert {"val_mean_dice", "val_dice_et", "val_loss"} <= set(metrics)
    assert any(not torch.equal(start[name], value) for name, value in weights.items())
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())


def test_evaluate_json_scores_bundle_weights(bundle: Path) -> None:
    files = [str(bundle / "configs" / name) for name in ("train.json", "evaluate.json")]
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False)
    workflow.initialize()
    workflow.run()
    metrics = workflow.parser.get_parsed_content("validate::evaluator").state.metrics
    network = workflow.parser.get_parsed_content("network")
    saved = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(network.state_dict()[name].float(), value.float()) for name, value in saved.items())
    assert 0 <= metrics["val_mean_dice"] <= 1
