"""The bundles of SimMLM's classification tasks train both stages on synthetic data and report their accuracy."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata

from brats_mm.experiments.avmnist.presets import SIDES as AVMNIST_SIDES
from brats_mm.experiments.food101.presets import MODALITIES as FOOD101
from tests.fakes.classification_data import write_avmnist_arrays, write_food101
from tests.fakes.json_layout import laid_out

pytestmark = pytest.mark.slow

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
NAMES = ("avmnist_simmlm", "food101_simmlm")
CONFIGS = [path for name in NAMES for path in sorted((BUNDLES / name / "configs").glob("*.json"))]

TINY_FOOD = {
    "pretrain_expert": {
        "network_def": {"_target_": "tests.fakes.classification_data.tiny_food_expert", "modality": "@modality"},
    },
    "train": {"network_def": {"_target_": "tests.fakes.classification_data.tiny_food_mixture"}},
}
TINY_FOOD["inference"] = TINY_FOOD["train"]
LETTERS = {"tokens": {"_target_": "tests.fakes.classification_data.LetterTokens"}, "side": 32}


def _run(bundle: str, config: str, *overlay: str, **settings: Any) -> ConfigWorkflow:
    names = ("train", config) if config == "pretrain_expert" else (config,)
    paths = [str(BUNDLES / bundle / "configs" / f"{name}.json") for name in (*names, *overlay)]
    kind = "inference" if config == "inference" else "train"
    workflow = ConfigWorkflow(paths, workflow_type=kind, logging_file=False, device="cpu", **settings)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_configs_parse_use_their_keys_and_name_existing_components(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert text == laid_out(content) + "\n"
    if path.stem == "metadata":
        return
    entry_points = {"imports", "initialize", "run", "finalize", "train", "validate"}
    keys = {key.split("::")[0] for key in content} - entry_points
    if path.stem == "pretrain_expert":  # changes train.json
        content = ConfigParser.load_config_files([str(path.with_name("train.json")), str(path)])
    assert [key for key in sorted(keys) if f"@{key}" not in json.dumps(content)] == []
    for node in _nodes(content):
        if isinstance(node, dict) and "_target_" in node:
            component = ConfigParser({"it": {"_target_": node["_target_"], "_mode_": "callable"}})
            assert callable(component.get_parsed_content("it")), node["_target_"]


@pytest.mark.parametrize("name", NAMES)
def test_bundles_are_complete_and_hold_no_python(name: str, tmp_path: Path) -> None:
    root = BUNDLES / name
    for part in ("LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"):
        assert (root / part).is_file(), part
    assert not list(root.rglob("*.py"))
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    assert tuple(metadata["network_data_format"]["inputs"]) == (tuple(AVMNIST_SIDES) if "avmnist" in name else FOOD101)
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object", "required": ["version", "task", "network_data_format"]}))
    verify_metadata(meta_file=str(root / "configs" / "metadata.json"), filepath=str(schema))


def test_avmnist_mixture_is_accurate_for_every_subset(tmp_path: Path) -> None:
    """Train both stages with 30 % of the sounds, the second with MWAM and a resume, then predict every subset."""
    data = write_avmnist_arrays(tmp_path / "data", side=40)
    places = {"dataset_dir": str(data), "output_dir": str(tmp_path / "models"), "available_share::audio": 0.3}
    for modality in AVMNIST_SIDES:
        stage_1 = {"modality": modality, "epochs": 8, "batch_size": 16, "learning_rate": 0.003}
        expert = _run("avmnist_simmlm", "pretrain_expert", **places, **stage_1)
        count = len(expert.parser.get_parsed_content("train::dataset"))
        assert count == (220 if modality == "image" else 66)
    _run("avmnist_simmlm", "train", "methods/mwam", **places, epochs=1)
    weighed = _run("avmnist_simmlm", "train", "methods/mwam", **places, epochs=2, resume="true", mwam_form="loss")
    metrics = weighed.parser.get_parsed_content("train::trainer").state.metrics
    assert metrics["frm_image"] > 0
    assert 0.5 < metrics["mwam_audio"] < 1.5
    weights, out = tmp_path / "models" / "model.pt", tmp_path / "eval"
    _run("avmnist_simmlm", "inference", dataset_dir=str(data), weights=str(weights), output_dir=str(out))

    scores = json.loads((out / "accuracy.json").read_text())
    assert scores["samples"] == 60
    assert set(scores) == {
        "samples",
        "accuracy_image",
        "accuracy_audio",
        "accuracy_image+audio",
        "counter_intuitive_rate",
    }
    assert scores["accuracy_image+audio"] > 0.8
    assert scores["accuracy_image"] > 0.6
    assert 0 <= scores["counter_intuitive_rate"] < 0.3
    saved = torch.load(weights, weights_only=True)
    assert {name.split(".")[0] for name in saved} == {"experts", "gate"}


def test_food101_trains_both_stages_with_tiny_networks(tmp_path: Path) -> None:
    data = write_food101(tmp_path / "data")
    places = {"dataset_dir": str(data), "output_dir": str(tmp_path / "models"), "learning_rate": 0.01, **LETTERS}
    for modality in FOOD101:
        _run("food101_simmlm", "pretrain_expert", **places, modality=modality, epochs=4, **TINY_FOOD["pretrain_expert"])
    _run("food101_simmlm", "train", **places, epochs=3, batch_size=8, **TINY_FOOD["train"])
    evaluated = {"dataset_dir": str(data), "weights": str(tmp_path / "models" / "model.pt"), **LETTERS}
    _run("food101_simmlm", "inference", **evaluated, output_dir=str(tmp_path / "eval"), **TINY_FOOD["inference"])

    scores = json.loads((tmp_path / "eval" / "accuracy.json").read_text())
    assert scores["samples"] == 12
    assert scores["accuracy_image+text"] > 0.9


def _nodes(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(node for child in value.values() for node in _nodes(child))]
    if isinstance(value, list):
        return [node for child in value for node in _nodes(child)]
    return [value]
