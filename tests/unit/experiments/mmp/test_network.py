"""MMP's network: input of the decoder, projections, and parts that are skipped."""

import pytest
import torch
from torch import Tensor, nn

from brats_mm.errors import OptionError
from brats_mm.experiments.mmp.network import MaskedProjectionNetwork
from brats_mm.experiments.presets import mmp


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


class TwoScales(nn.Module):
    """Returns its input as the finer scale and a tenth of it as the coarser one, and counts its calls."""

    calls = 0

    def forward(self, x: Tensor) -> list[Tensor]:
        self.calls += 1
        return [x, x / 10]


class SumOfAll(nn.Module):
    """Adds up all features, the coarser scale with a factor of 100."""

    def forward(self, scales: list[Tensor]) -> Tensor:
        return scales[0].sum(dim=1, keepdim=True) + 100 * scales[1].sum(dim=1, keepdim=True)


class Guess(nn.Module):
    """Projects every feature to 5."""

    def forward(self, tokens: Tensor, available: Tensor) -> Tensor:
        return torch.full_like(tokens, 5.0)


def by_hand(*projections: nn.Module) -> MaskedProjectionNetwork:
    return MaskedProjectionNetwork({"one": TwoScales(), "two": TwoScales()}, projections, SumOfAll())


IMAGE = torch.tensor([20.0, 30.0]).reshape(1, 2, 1, 1, 1)
FIRST_ONLY = torch.tensor([[True, False]])


def test_complete_input_uses_real_features():
    """20 + 30 and 100 (2 + 3)."""
    assert float(by_hand(Guess())(IMAGE, torch.tensor([[True, True]]))) == 550.0


def test_projected_features_replace_masked_ones():
    """20 + 0 (no projection of the finer scale) and 100 (2 + 5)."""
    assert float(by_hand(Guess())(IMAGE, FIRST_ONLY)) == 720.0


def test_skips_can_be_projected_too():
    """20 + 5 and 100 (2 + 5)."""
    assert float(by_hand(Guess(), Guess())(IMAGE, FIRST_ONLY)) == 725.0


def test_without_projections_zeros_replace_missing_modalities():
    assert float(by_hand()(IMAGE, FIRST_ONLY)) == 220.0


def test_output_holds_real_features_and_mask_of_masked_modalities():
    present = torch.tensor([[True, True]])
    logits, projected, real, masked = by_hand(Guess()).answer(IMAGE, FIRST_ONLY, present)
    assert float(logits) == 720.0
    assert projected[0].flatten().tolist() == [5.0, 5.0]
    assert real[0].flatten().tolist() == [2.0, 3.0]
    assert masked.tolist() == [[False, True]]


def test_sequence_missing_from_case_is_not_supervised():
    _, _, real, masked = by_hand(Guess()).answer(IMAGE, FIRST_ONLY, FIRST_ONLY)
    assert not masked.any()
    assert real[0].flatten().tolist() == [2.0, 0.0]


def test_encoder_of_missing_modality_is_not_run():
    network = by_hand(Guess())
    network(IMAGE, torch.tensor([[True, False], [True, False]]))
    assert [encoder.calls for encoder in network.encoders.values()] == [1, 0]


def test_preset_has_size_of_mixture():
    parameters = sum(parameter.numel() for parameter in mmp().parameters())
    assert 7.8e6 <= parameters <= 8.3e6
    assert not mmp(projected_scales=0).projections


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "Choose one of light, full"),
        ({"projected_scales": 7}, "has 6 scales"),
        ({"heads": 3}, "heads must divide the widths 80"),
        ({"aggregated": 0}, "at least 1"),
    ],
)
def test_rejects_invalid_options(options, message):
    with pytest.raises(OptionError, match=message):
        mmp(**options)
