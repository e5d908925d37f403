"""Single networks: views match separate passes, and missing voxels have no effect."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.domain.modality import MODALITIES
from brats_mm.errors import OptionError
from brats_mm.experiments.early_fusion import EarlyFusionNetwork
from brats_mm.experiments.mmp.network import Decoder, MaskedProjectionNetwork
from brats_mm.experiments.mmp.projection import Projection
from brats_mm.experiments.momke import MoMKE
from brats_mm.networks.ensemble import Ensemble
from brats_mm.networks.expert import Encoder, UNetExpert
from brats_mm.networks.single import SingleNetwork

WIDTHS = (2, 4, 4)
NAMES = tuple(modality.value for modality in MODALITIES)


def early_fusion() -> SingleNetwork:
    return EarlyFusionNetwork(UNetExpert(WIDTHS, in_channels=4))


def momke() -> SingleNetwork:
    routers = {name: nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Conv3d(1, 4, 1)) for name in NAMES}
    return MoMKE({name: UNetExpert(WIDTHS, out_channels=2) for name in NAMES}, routers, nn.Conv3d(8, 3, 1))


def mmp(projections: int) -> SingleNetwork:
    return MaskedProjectionNetwork(
        {name: Encoder(WIDTHS) for name in NAMES},
        [Projection(4, width, aggregated=2, heads=2) for width in WIDTHS[::-1][:projections]],
        Decoder([4 * width for width in WIDTHS], [2 * width for width in WIDTHS], out_channels=3),
    )


NETWORKS: dict[str, Callable[[], SingleNetwork]] = {
    "early fusion": early_fusion,
    "MoMKE": momke,
    "MMP without projections": lambda: mmp(0),
    "MMP": lambda: mmp(1),
    "MMP with projected skips": lambda: mmp(3),
    "ensemble": lambda: Ensemble([early_fusion(), momke()]),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> SingleNetwork:
    torch.manual_seed(0)
    return NETWORKS[request.param]().eval()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def test_views_match_separate_passes_and_ignore_missing_voxels(network):
    image = torch.randn(2, 4, 16, 8, 8)
    every = torch.tensor([to_flags(subset) for subset in SUBSETS])
    together = network(image, every.repeat_interleave(2, dim=0)).unflatten(0, (15, 2))
    for logit, subset in zip(together, every, strict=True):
        hidden = torch.where(subset[None, :, None, None, None], image, 7.0)
        torch.testing.assert_close(logit, network(hidden, subset.expand(2, -1)), atol=1e-5, rtol=1e-4)


def test_every_available_sequence_has_an_effect(network):
    image = torch.randn(1, 4, 16, 8, 8)
    every = torch.ones(1, 4, dtype=torch.bool)
    whole = network(image, every)
    for channel in range(4):
        without = every.clone()
        without[0, channel] = False
        assert not torch.allclose(network(image, without), whole)


def test_zero_channels_count_as_missing_without_availability(network):
    image = torch.randn(1, 4, 16, 8, 8)
    image[:, 2] = 0
    assert torch.equal(network(image), network(image, torch.tensor([[True, True, False, True]])))


def test_logit_bias_shifts_logits(network):
    image, every = torch.randn(1, 4, 16, 8, 8), torch.ones(1, 4, dtype=torch.bool)
    before = network(image, every)
    network.logit_bias().add_(torch.tensor([1.0, 2.0, 3.0]))
    moved = (network(image, every) - before).mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(moved, torch.tensor([1.0, 2.0, 3.0]))


def test_ensemble_averages_logits_of_members() -> None:
    first, second = early_fusion().eval(), momke().eval()
    image, every = torch.randn(1, 4, 16, 8, 8), torch.ones(1, 4, dtype=torch.bool)
    mean = (first(image, every) + second(image, every)) / 2
    torch.testing.assert_close(Ensemble([first, second])(image, every), mean)


def test_ensemble_rejects_networks_without_views() -> None:
    with pytest.raises(OptionError, match=r"single networks, but got UNetExpert\."):
        Ensemble([UNetExpert(WIDTHS)])
