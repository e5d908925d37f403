"""The config of each method trains on top of the bundle's config and matches its description."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from brats_mm.experiments.comparison.methods import read_methods
from brats_mm.experiments.comparison.training import merge_configs
from brats_mm.experiments.early_fusion import EarlyFusionNetwork
from brats_mm.experiments.mmp.loss import AlignedLoss
from brats_mm.experiments.mmp.network import MaskedProjectionNetwork
from brats_mm.experiments.momke import MoMKE
from brats_mm.io.bundle import default_bundle, open_bundle
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating import UniformGate
from tests.fakes.methods import EXPERT, NETWORKS

CONFIGS = default_bundle() / "configs"
METHODS = CONFIGS / "methods"
METHOD = {method.name: method for method in read_methods(["papers"], open_bundle(None))}
SMALL = {
    "device": "cpu",
    "epochs": 1,
    "val_interval": 1,
    "batch_size": 2,
    "window": [64, 32, 32],
    "validation_window": [64, 32, 32],
    "augmentation": "paper",
    "progress_bar": "no",
}


def _workflow(name: str, cases: Path, models: Path, **override: Any) -> ConfigWorkflow:
    models.mkdir(exist_ok=True)
    (models / "tiny.json").write_text(json.dumps({"network_def": NETWORKS[name]}))
    method = METHOD[name]
    (models / "method.json").write_text(json.dumps(method.settings))
    files = [str(CONFIGS / "train.json"), *map(str, method.configs), str(models / "method.json")]
    files.append(str(models / "tiny.json"))
    places = {"dataset_dir": str(cases), "output_dir": str(models), "experts_dir": "none"}
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, **{**SMALL, **places, **override})
    workflow.initialize()
    return workflow


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.slow
def test_each_method_trains_a_step_and_validates(name: str, cases: Path, tmp_path: Path) -> None:
    training = _workflow(name, cases, tmp_path)
    assert training.check_properties() == []
    before = {
        key: value.clone() for key, value in training.parser.get_parsed_content("network_def").state_dict().items()
    }

    training.run()
    training.finalize()

    after = torch.load(tmp_path / "model_last.pt", weights_only=True)["network"]
    assert after.keys() == before.keys(), "the network itself, without wrappers"
    parts = {key.split(".")[0] for key in before}
    used = {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}
    assert used == parts, "every part learns"
    assert (tmp_path / "model.pt").is_file(), "the validation over 15 sets used the network unchanged"


def test_ume_mma_starts_from_experts_and_averages_the_available_ones(cases: Path, tmp_path: Path) -> None:
    experts = tmp_path / "experts"
    experts.mkdir()
    weights = ConfigParser({"expert": EXPERT}).get_parsed_content("expert").state_dict()
    for modality in ("t1", "t1ce", "t2", "flair"):
        torch.save(weights, experts / f"expert_{modality}.pt")

    training = _workflow("ume_mma", cases, tmp_path / "models", experts_dir=str(experts))

    network = training.parser.get_parsed_content("network")
    assert torch.equal(network.experts["t2"].stem.conv1.weight, weights["stem.conv1.weight"])
    image = torch.rand(1, 4, 8, 8, 8)
    with torch.no_grad():
        mean = (network.experts["t1"](image[:, :1]) + network.experts["t2"](image[:, 2:3])) / 2
        torch.testing.assert_close(network(image, torch.tensor([[True, False, True, False]])), mean)


def _merged(name: str) -> ConfigParser:
    return ConfigParser(merge_configs((CONFIGS / "train.json", *METHOD[name].configs), METHOD[name].settings))


@pytest.mark.parametrize(
    ("name", "kind", "sampler"),
    [
        ("ume_mma", DMoME, "uniform"),
        ("momke", MoMKE, "uniform"),
        ("mmp", MaskedProjectionNetwork, "uniform"),
        ("mmp_plain", MaskedProjectionNetwork, "whole"),
        ("mmp_dropout", MaskedProjectionNetwork, "uniform"),
        ("early_fusion", EarlyFusionNetwork, "uniform"),
    ],
)
def test_network_and_sampling_of_each_method(name: str, kind: type, sampler: str) -> None:
    parser = _merged(name)
    assert isinstance(parser.get_parsed_content("network_def"), kind)
    assert parser["steps::subsets::sampler"] == "@subset_sampler"
    assert parser["subset_sampler"] == sampler


def test_ume_mma_has_no_gate() -> None:
    assert isinstance(_merged("ume_mma").get_parsed_content("network_def").gate, UniformGate)


@pytest.mark.parametrize(
    ("name", "projections", "weight"),
    [
        ("mmp", 1, 0.2),
        ("mmp_skips", 3, 0.2),
        ("mmp_without_mean", 1, 0.2),
        ("mmp_unaligned", 1, 0.0),
        ("mmp_dropout", 0, 0.0),
        ("mmp_plain", 0, 0.0),
    ],
)
def test_mmp_and_its_baselines_differ_in_projection_and_alignment(name: str, projections: int, weight: float) -> None:
    parser = _merged(name)
    assert len(parser.get_parsed_content("network_def").projections) == projections
    loss = parser.get_parsed_content("loss")
    assert isinstance(loss, AlignedLoss)
    assert (loss.weight, loss.detach) == (weight, True)


def test_every_method_of_the_page_is_read_by_its_name() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    names = re.findall(r"^\| `(\w+)` \|", page.split("## Compare methods")[0], re.MULTILINE)
    assert {"simmlm", "mmp_without_mean", "papers"} <= set(names)
    for name in names:
        methods = read_methods([name], open_bundle(None))
        assert name in {method.name for method in methods} or len(methods) > 1


def test_method_of_a_list_has_the_settings_of_its_list() -> None:
    (method,) = read_methods(["mmp_without_mean"], open_bundle(None))
    assert method == METHOD["mmp_without_mean"]
    assert method.settings["projected_mean"] is False


def test_mmp_without_mean_omits_only_the_added_mean() -> None:
    means = {
        name: _merged(name).get_parsed_content("network_def").projections[0].mean
        for name in ("mmp", "mmp_without_mean")
    }
    assert means == {"mmp": True, "mmp_without_mean": False}


def test_methods_have_names_and_descriptions() -> None:
    for name in NETWORKS:
        described = _merged(name)["method"]
        assert described["name"]
        assert described["description"].endswith(".")


def test_every_method_is_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    for path in METHODS.glob("*.json"):
        assert f"`{path.stem}`" in page, path.stem
