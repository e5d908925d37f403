"""The early-fusion preset has the size of the mixture, for a fair comparison."""

import pytest
import torch

from brats_mm.errors import OptionError
from brats_mm.experiments.presets import early_fusion
from brats_mm.networks.presets import simmlm


def test_preset_has_size_of_mixture():
    def parameters(net: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in net.parameters())

    assert parameters(early_fusion()) == pytest.approx(parameters(simmlm()), rel=0.01)


def test_rejects_unknown_size():
    with pytest.raises(OptionError, match="Choose one of light, full"):
        early_fusion("huge")
