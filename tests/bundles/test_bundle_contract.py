"""Requirements of MONAI's tools: metadata, input and output of the network, export, and valid configs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out

from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS, SEGMENT_STYLES, LabelConvention
from brats_mm.io.bundle import list_training_configs
from tests.fakes.json_layout import laid_out

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation"
CONFIGS = BUNDLE / "configs"
JSON_FILES = sorted(CONFIGS.glob("*.json"))
METADATA = json.loads((CONFIGS / "metadata.json").read_text())

TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
    "properties": {
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
TEXTS = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "copyright")
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "type": "object",
    "required": [*TEXTS, "authors", "required_packages_version", "network_data_format"],
    "properties": {
        **{text: {"type": "string"} for text in TEXTS},
        "changelog": {"type": "object", "additionalProperties": {"type": "string"}},
        "required_packages_version": {"type": "object", "additionalProperties": {"type": "string"}},
        "supported_apps": {"type": "object"},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {
                "inputs": {"type": "object", "additionalProperties": TENSOR},
                "outputs": {"type": "object", "additionalProperties": TENSOR},
            },
        },
    },
}
"""The demands of MONAI's schema of 2024-07-25 that concern this bundle, so that the check needs no download."""


@pytest.mark.parametrize("path", JSON_FILES, ids=lambda path: path.name)
def test_configs_parse_and_have_one_layout(path: Path) -> None:
    """The indent is four, and values that fit into 120 characters are on one line."""
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)

    assert text == laid_out(content) + "\n"
    assert ConfigParser(content).parse() is None


@pytest.mark.parametrize("path", JSON_FILES, ids=lambda path: path.name)
def test_components_named_in_configs_exist(path: Path) -> None:
    parser = ConfigParser(json.loads(path.read_text()))
    parser.parse()
    for node in _nodes(parser.config):
        if isinstance(node, dict) and "_target_" in node:
            component = ConfigParser({"it": {"_target_": node["_target_"], "_mode_": "callable"}})
            assert callable(component.get_parsed_content("it")), node["_target_"]


OVERLAYS = ("metadata", "multi_gpu_train", "pretrain_expert", "paper", "evaluate")
WHOLE = [path for path in JSON_FILES if path.stem not in OVERLAYS]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.name)
def test_every_config_key_is_used(path: Path) -> None:
    content = json.loads(path.read_text())
    entry_points = {"imports", "initialize", "run", "finalize", "train", "validate", "bundle_root"}
    text = json.dumps(content)
    unused = [key for key in content if key not in entry_points and f"@{key}" not in text]
    assert unused == []


@pytest.mark.parametrize("stage", ["train", "pretrain_expert"])
@pytest.mark.parametrize("overlay", ["multi_gpu_train", "paper"])
def test_every_override_matches_a_config_key(stage: str, overlay: str) -> None:
    overrides = json.loads((CONFIGS / f"{overlay}.json").read_text())
    files = [str(path) for path in list_training_configs(CONFIGS, stage)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    absent = [key for key in overrides if key not in parser and not key.endswith("dataloader::sampler")]
    assert absent in ([], ["_desc_"])


@pytest.mark.parametrize("path", [*CONFIGS.glob("*.json"), *CONFIGS.glob("methods/*.json")], ids=lambda path: path.name)
def test_steps_are_referenced_by_name(path: Path) -> None:
    assert not re.search(r"transforms::\d", path.read_text(encoding="utf-8"))


def test_metadata_match_schema(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    verify_metadata(meta_file=str(CONFIGS / "metadata.json"), filepath=str(schema))


def test_metadata_schema_rejects_missing_keys(tmp_path: Path) -> None:
    schema, broken = tmp_path / "schema.json", tmp_path / "metadata.json"
    schema.write_text(json.dumps(SCHEMA))
    broken.write_text(json.dumps({key: value for key, value in METADATA.items() if key != "task"}))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(meta_file=str(broken), filepath=str(schema))


def test_channels_match_domain() -> None:
    formats = METADATA["network_data_format"]
    labels = {"0": "background"}
    for part, style in SEGMENT_STYLES.items():
        labels[str(LabelConvention.BRATS2023.value_of(part))] = style.name.lower()
    first = next(iter(formats["outputs"].values()))

    assert formats["inputs"]["image"]["channel_def"] == {str(one.channel): one.label for one in MODALITIES}
    assert formats["outputs"]["pred"]["channel_def"] == {str(one.channel): one.label for one in REGIONS}
    assert first["channel_def"] == labels, "MONAI Label takes label values from the first output"


def test_version_is_in_changelog() -> None:
    assert METADATA["version"] in METADATA["changelog"]


@pytest.mark.slow
def test_network_input_and_output_match_metadata() -> None:
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
        device="cpu",
    )


def test_checkpoint_exports_to_equivalent_torchscript(tiny: dict[str, Any], tmp_path: Path) -> None:
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=tiny["weights"],
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=[str(CONFIGS / "inference.json"), tiny["inference"]],
    )
    exported = torch.jit.load(tmp_path / "model.ts").eval()
    network = ConfigParser.load_config_file(tiny["inference"])
    plain = ConfigParser(network).get_parsed_content("network_def")
    plain.load_state_dict(torch.load(tiny["weights"], weights_only=True))
    image = torch.rand(1, 4, 64, 32, 32, generator=torch.Generator().manual_seed(1))
    available = torch.tensor([[True, False, True, True]])

    assert torch.allclose(exported(image, available), plain.eval()(image, available), atol=1e-5)


def test_bundle_is_complete() -> None:
    for name in ("LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/data_license.txt"):
        assert (BUNDLE / name).is_file(), name
    assert not list(BUNDLE.rglob("*.py")), "a bundle holds configuration and weights, no Python"


def _nodes(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(node for child in value.values() for node in _nodes(child))]
    if isinstance(value, list):
        return [node for child in value for node in _nodes(child)]
    return [value]
