"""MoMKE against hand-checked values: routers, mixed features, head, and number of passes."""

import math

import pytest
import torch
from torch import Tensor, nn

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.errors import OptionError
from brats_mm.experiments.momke import MoMKE
from brats_mm.experiments.presets import momke
from brats_mm.networks.offset import subtract_from_logits


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


class Times(nn.Module):
    """An expert with one feature, its input times a factor. Counts its calls."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.calls = factor, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.factor * x


class Says(nn.Module):
    """A router with constant values."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor(self.values).expand(len(x), 1, -1)


def by_hand() -> MoMKE:
    """Return a network with experts 1 and 5. The first router weighs them 1 : 3, the second equally. The head adds z1
    and 100 z2.
    """
    head = nn.Conv3d(2, 1, 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([1.0, 100.0]).reshape(1, 2, 1, 1, 1))
    routers = {"one": Says(0.0, math.log(3)), "two": Says(2.0, 2.0)}
    return MoMKE({"one": Times(1.0), "two": Times(5.0)}, routers, head)


IMAGE = torch.tensor([2.0, 3.0]).reshape(1, 2, 1, 1, 1)


def test_each_modality_mixes_expert_features_by_its_router():
    """z1 = 2 (1/4 + 5 * 3/4) = 8 and z2 = 3 (1/2 + 5/2) = 9."""
    assert float(by_hand()(IMAGE, torch.tensor([[True, True]]))) == pytest.approx(908.0)


def test_features_of_missing_modality_are_zero():
    assert float(by_hand()(IMAGE, torch.tensor([[True, False]]))) == pytest.approx(8.0)
    assert float(by_hand()(IMAGE, torch.tensor([[False, True]]))) == pytest.approx(900.0)


@pytest.mark.parametrize(("available", "passes"), [([True, True], 4), ([False, True], 2)])
def test_every_expert_runs_on_every_available_modality(available, passes):
    network = by_hand()
    network(IMAGE, torch.tensor([available]))
    assert sum(expert.calls for expert in network.experts.values()) == passes


def test_views_share_passes_and_match_separate_passes():
    network = by_hand()
    image = torch.randn(3, 2, 2, 2, 2)
    views = torch.tensor([[True, False], [True, True], [False, True]] * 2)

    together = network(image, views)

    assert sum(expert.calls for expert in network.experts.values()) == 4
    for view in range(2):
        rows = slice(3 * view, 3 * view + 3)
        torch.testing.assert_close(together[rows], by_hand()(image, views[rows]))


def test_preset_has_size_of_mixture_and_ignores_missing_channels():
    torch.manual_seed(0)
    network = momke().eval()
    assert 7.8e6 <= sum(parameter.numel() for parameter in network.parameters()) <= 7.9e6
    image, subset = torch.randn(1, 4, 64, 32, 32), torch.tensor([to_flags(SUBSETS[1])])
    with torch.no_grad():
        result = network(image, subset)
        hidden = torch.where(subset[:, :, None, None, None], image, 3.0)
        torch.testing.assert_close(result, network(hidden, subset))
    assert result.shape == (1, 3, 64, 32, 32)


def test_rejects_unknown_size():
    with pytest.raises(OptionError, match="Choose one of light, full"):
        momke("huge")


def test_offsets_are_subtracted_from_head_bias():
    network = MoMKE({"one": Times(1.0)}, {"one": Says(0.0)}, nn.Conv3d(1, 2, 1))
    image, available = torch.ones(1, 1, 1, 1, 1), torch.tensor([[True]])
    before = network(image, available)
    subtract_from_logits(network, [0.5, -2.0])
    torch.testing.assert_close((before - network(image, available)).flatten(), torch.tensor([0.5, -2.0]))
