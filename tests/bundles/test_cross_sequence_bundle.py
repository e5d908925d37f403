"""The shipped bundle: its cross-sequence mixture, export, and agreement with the method's config."""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from brats_mm.io.bundle import default_bundle
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.presets import cross_sequence

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "brats_mm_segmentation" / "configs"


def test_method_and_inference_configs_define_same_network() -> None:
    inference = json.loads((CONFIGS / "inference.json").read_text())
    method = json.loads((CONFIGS / "methods" / "split_cross_sequence.json").read_text())
    assert method["network_def"] == inference["network_def"]
    assert method["spacing_mm"] == inference["spacing_mm"] == 1.0
    assert isinstance(ConfigParser(inference).get_parsed_content("network_def"), CrossSequenceMixture)


@pytest.mark.slow
@pytest.mark.parametrize("view", [(True, True, False, True), (True, False, False, True)])
def test_shipped_weights_export_to_equivalent_torchscript(view: tuple[bool, ...]) -> None:
    network = cross_sequence(split_by_t1ce=True)
    network.load_state_dict(torch.load(default_bundle() / "models" / "model.pt", weights_only=True))
    network.eval()
    image = torch.rand(1, 4, 128, 64, 64, generator=torch.Generator().manual_seed(1))
    available = torch.tensor([view])
    with torch.no_grad():
        exported = torch.jit.script(network)(image, available)
        assert torch.allclose(exported, network(image, available), atol=1e-4)
