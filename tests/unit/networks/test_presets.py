"""Network presets match the paper: sizes, parameter counts, and behaviour of the parts."""

import math

import pytest
import torch
from torch import nn

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, to_flags
from brats_mm.domain.modality import MODALITIES
from brats_mm.errors import OptionError
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.gating import GatingNetwork, UniformGate
from brats_mm.networks.presets import GATES, LEVELS, expert, simmlm


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def small():
    """A mixture of experts with one strided stage, for windows of a few voxels."""
    torch.manual_seed(0)
    experts = {modality.value: UNetExpert((2, 3)) for modality in MODALITIES}
    return DMoME(experts, GatingNetwork(modalities=4, outputs=3)).eval()


@pytest.fixture
def image():
    return torch.randn(2, 4, 64, 8, 8, generator=torch.Generator().manual_seed(1))


def test_light_preset_has_parameter_counts_of_paper():
    """7,810,844 in four experts (lower heads included) and 5,304 in the gate."""
    network = simmlm()
    assert count(network.experts) == 7_810_844
    assert count(network.gate) == 5_304
    assert count(network.experts["t1"]) == 1_952_711


def test_gate_flattens_to_256_features_and_returns_four_by_three():
    """Five layers, 4 x 4^3 = 256 features, 12 outputs."""
    gate = simmlm().gate
    assert sum(isinstance(layer, nn.Conv3d) for layer in gate.stages) == 5
    assert (gate.linear.in_features, gate.linear.out_features) == (256, 12)
    assert gate(torch.randn(2, 4, 64, 64, 64)).shape == (2, 4, 3)


def test_pooling_before_gate_is_identity_for_window_of_paper():
    """Halving 128 five times gives 4."""
    gate = GatingNetwork(modalities=4, outputs=3)
    features = torch.randn(1, 4, 4, 4, 4)
    torch.testing.assert_close(gate.pool(features), features, rtol=0, atol=0)
    assert gate.stages(torch.zeros(1, 4, 128, 128, 128)).shape == (1, 4, 4, 4, 4)


def test_full_preset_has_widths_of_nnunet():
    """31.2 M parameters per expert, 124.8 M in four."""
    with torch.device("meta"):
        assert round(count(expert("full")) / 1e6, 1) == 31.2


def test_transposed_convolution_of_stride_one_equals_convolution():
    """With the kernel flipped and the channel axes swapped, so the decoder can use plain convolutions."""
    up = nn.ConvTranspose3d(2, 3, kernel_size=3, padding=1)
    plain = nn.Conv3d(2, 3, kernel_size=3, padding=1)
    plain.weight.data = up.weight.data.flip(2, 3, 4).transpose(0, 1).clone()
    plain.bias.data = up.bias.data.clone()
    x = torch.randn(1, 2, 5, 5, 5)
    torch.testing.assert_close(plain(x), up(x))
    assert count(up) == count(plain)


def test_deep_supervision_levels_halve_and_start_with_forward_logits():
    """Finest first."""
    net = UNetExpert((2, 3, 4)).eval()
    x = torch.randn(1, 1, 8, 8, 16)
    levels = net.forward_levels(x)
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 8, 16), (4, 4, 8)]
    torch.testing.assert_close(levels[0], net(x))


@pytest.mark.parametrize("modality", MODALITIES)
def test_single_modality_equals_its_expert(small, image, modality):
    """The weight of a single modality is exactly 1."""
    available = torch.tensor([to_flags(frozenset({modality}))] * 2)
    expected = small.experts[modality.value](image[:, modality.channel : modality.channel + 1])
    assert torch.equal(small(image, available), expected)


@pytest.mark.parametrize("subset", SUBSETS)
def test_missing_channel_content_has_no_effect(small, image, subset):
    """Not even NaN."""
    available = torch.tensor([to_flags(subset)] * 2)
    corrupted = image.clone()
    corrupted[~available] = float("nan")
    assert torch.equal(
        small(corrupted, available), small(image.masked_fill(~available[..., None, None, None], 0), available)
    )


@pytest.mark.parametrize("subset", SUBSETS)
def test_all_zero_window_is_finite_for_every_subset(small, subset):
    """Logits are finite and weights sum to 1."""
    available = torch.tensor([to_flags(subset)])
    logits, weights = small.forward_with_weights(torch.zeros(1, 4, 64, 8, 8), available)
    assert logits.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 3))


def test_all_zero_window_without_availability_is_finite(small):
    """For callers that pass no availability."""
    assert small(torch.zeros(1, 4, 64, 8, 8)).isfinite().all()


def test_missing_expert_is_not_run(small, image):
    """The cost depends on the available sequences."""
    runs = []
    for name, net in small.experts.items():
        net.register_forward_hook(lambda *_args, name=name: runs.append(name))
    small(image, torch.tensor([[True, False, False, True], [False, False, False, True]]))
    assert runs == ["t1", "flair"]


def test_batch_may_mix_available_sequences(small, image):
    """Each row equals the row run alone."""
    available = torch.tensor([[True, False, True, True], [False, True, False, False]])
    together = small(image, available)
    for row in range(2):
        torch.testing.assert_close(together[row : row + 1], small(image[row : row + 1], available[row : row + 1]))


def test_all_subsets_at_once_match_separate_passes(small, image):
    """Running each expert once for all 15 subsets gives the result of 15 passes."""
    sets = torch.tensor([to_flags(subset) for subset in SUBSETS])
    together = small.forward_with_weights(image, sets.repeat_interleave(2, dim=0))
    logits, weights = (part.unflatten(0, (15, 2)) for part in together)
    for index, available in enumerate(sets):
        expected_logits, expected_weights = small.forward_with_weights(image, available.expand(2, -1))
        torch.testing.assert_close(logits[index], expected_logits)
        torch.testing.assert_close(weights[index], expected_weights)


def test_views_with_sequences_per_sample_match_separate_passes(small, image):
    """In a training pair, each expert runs once per sample, and each view equals its own pass."""
    more = torch.tensor([[True, True, False, True], [True, True, True, True]])
    fewer = torch.tensor([[False, True, False, False], [True, False, False, True]])
    together = small(image, torch.cat([more, fewer]))
    torch.testing.assert_close(together, torch.cat([small(image, more), small(image, fewer)]))


def test_mixture_is_weighted_sum_of_expert_logits():
    """exp(0) : exp(ln 3) = 1/4 : 3/4, and 4/4 + 8 x 3/4 = 7."""

    class Constant(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, x):
            return torch.full((x.shape[0], 1, *x.shape[2:]), self.value)

    class FixedGate(nn.Module):
        def forward(self, image):
            return torch.tensor([0.0, math.log(3)])[None, :, None].expand(image.shape[0], -1, -1)

    network = DMoME({"a": Constant(4.0), "b": Constant(8.0)}, FixedGate())
    image = torch.ones(2, 2, 3, 3, 3)
    torch.testing.assert_close(network(image), torch.full((2, 1, 3, 3, 3), 7.0))
    only_a = torch.tensor([[True, False]] * 2)
    torch.testing.assert_close(network(image, only_a), torch.full((2, 1, 3, 3, 3), 4.0))


def test_static_mean_averages_available_experts(image):
    """Divides by the number of available experts, not by four."""
    network = DMoME({m.value: UNetExpert((2, 3)) for m in MODALITIES}, UniformGate(modalities=4, outputs=3)).eval()
    available = torch.tensor([[True, False, True, False]] * 2)
    expected = (network.experts["t1"](image[:, 0:1]) + network.experts["t2"](image[:, 2:3])) / 2
    torch.testing.assert_close(network(image, available), expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("weighting", list(GATES))
def test_every_level_and_weighting_returns_logits_and_is_scriptable(level, weighting):
    """All combinations return finite logits of one shape and compile to TorchScript."""
    network = simmlm(level=level, weighting=weighting).eval()
    image = torch.randn(1, 4, 64, 32, 32)
    expected = network(image)
    assert expected.shape == (1, 3, 64, 32, 32)
    assert expected.isfinite().all()
    torch.testing.assert_close(torch.jit.script(network)(image), expected)


def test_probability_level_mixes_probabilities(image):
    """The result is the logit of the mean of two sigmoids."""
    network = simmlm(level="probability", weighting="mean").eval()
    available = torch.tensor([[True, True, False, False]] * 2)
    small_image = image[:, :, :, :8, :8].repeat(1, 1, 1, 4, 4)
    mean = (network.experts["t1"](small_image[:, :1]) + network.experts["t1ce"](small_image[:, 1:2])) / 2
    torch.testing.assert_close(network(small_image, available).sigmoid(), mean, rtol=1e-3, atol=1e-5)


def test_unknown_preset_option_lists_choices():
    with pytest.raises(OptionError, match=r"level is 'logits'\. Choose one of logit, probability, feature"):
        simmlm(level="logits")


def test_all_available_sets_every_flag():
    assert to_flags(ALL_AVAILABLE) == (True, True, True, True)
