"""Early fusion: what is missing has no effect, views are separate passes, and its size is the mixture's."""

import pytest
import torch

from brats_mm.domain.availability import SUBSETS, flags
from brats_mm.errors import OptionError
from brats_mm.networks.comparators import early_fusion
from brats_mm.networks.early_fusion import EarlyFusionNetwork
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.presets import simmlm


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def network() -> EarlyFusionNetwork:
    torch.manual_seed(0)
    return EarlyFusionNetwork(UNetExpert((2, 4, 4), in_channels=4)).eval()


def test_views_are_those_of_separate_passes_and_missing_voxels_do_not_matter(network):
    image = torch.randn(2, 4, 16, 8, 8)
    every = torch.tensor([flags(subset) for subset in SUBSETS])
    together = network(image, every.repeat_interleave(2, dim=0)).unflatten(0, (15, 2))
    for found, subset in zip(together, every, strict=True):
        hidden = torch.where(subset[None, :, None, None, None], image, 7.0)
        torch.testing.assert_close(found, network(hidden, subset.expand(2, -1)), atol=1e-5, rtol=1e-4)


def test_every_sequence_at_hand_has_an_effect(network):
    image = torch.randn(1, 4, 16, 8, 8)
    whole = network(image, torch.ones(1, 4, dtype=torch.bool))
    for channel in range(4):
        without = torch.ones(1, 4, dtype=torch.bool)
        without[0, channel] = False
        assert not torch.allclose(network(image, without), whole)


def test_without_availability_channels_of_zeros_count_as_missing(network):
    image = torch.randn(1, 4, 16, 8, 8)
    image[:, 2] = 0
    available = torch.tensor([[True, True, False, True]])
    assert torch.equal(network(image), network(image, available))


def test_the_bias_of_the_logits_moves_the_logits(network):
    image, whole = torch.randn(1, 4, 16, 8, 8), torch.ones(1, 4, dtype=torch.bool)
    before = network(image, whole)
    network.logit_bias().add_(torch.tensor([1.0, 2.0, 3.0]))
    moved = (network(image, whole) - before).mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(moved, torch.tensor([1.0, 2.0, 3.0]))


def test_the_preset_is_of_the_mixtures_size():
    def parameters(net: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in net.parameters())

    assert parameters(early_fusion()) == pytest.approx(parameters(simmlm()), rel=0.01)


def test_there_is_no_such_size():
    with pytest.raises(OptionError, match="must be one of light, full"):
        early_fusion("huge")
