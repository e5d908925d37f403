"""The network matches the paper: sizes, parameter counts, and behaviour of the parts."""

import math

import pytest
import torch
from torch import nn

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, flags
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
    """A mixture of experts with one strided stage: windows of a few voxels will do."""
    torch.manual_seed(0)
    experts = {modality.value: UNetExpert((2, 3)) for modality in MODALITIES}
    return DMoME(experts, GatingNetwork(modalities=4, outputs=3)).eval()


@pytest.fixture
def image():
    return torch.randn(2, 4, 64, 8, 8, generator=torch.Generator().manual_seed(1))


def test_light_preset_has_the_papers_parameters():
    """7,810,844 in four experts (lower heads counted) and 5,304 in the gate (methods, SimMLM table)."""
    network = simmlm()
    assert count(network.experts) == 7_810_844
    assert count(network.gate) == 5_304
    assert count(network.experts["t1"]) == 1_952_711


def test_gate_flattens_to_256_features_and_answers_four_by_three():
    """Five layers, 4 x 4^3 = 256 features, 12 outputs."""
    gate = simmlm().gate
    assert sum(isinstance(layer, nn.Conv3d) for layer in gate.stages) == 5
    assert (gate.linear.in_features, gate.linear.out_features) == (256, 12)
    assert gate(torch.randn(2, 4, 64, 64, 64)).shape == (2, 4, 3)


def test_pooling_before_the_gate_is_the_identity_at_the_papers_window():
    """128 halves five times to 4."""
    gate = GatingNetwork(modalities=4, outputs=3)
    features = torch.randn(1, 4, 4, 4, 4)
    torch.testing.assert_close(gate.pool(features), features, rtol=0, atol=0)
    assert gate.stages(torch.zeros(1, 4, 128, 128, 128)).shape == (1, 4, 4, 4, 4)


def test_full_preset_has_nnunets_widths():
    """31.2 M an expert, 124.8 M in four (methods 1.2)."""
    with torch.device("meta"):
        assert round(count(expert("full")) / 1e6, 1) == 31.2


def test_a_transposed_convolution_of_stride_one_is_a_convolution():
    """Kernel flipped, channel axes exchanged: why plain convolutions stand in the decoder."""
    up = nn.ConvTranspose3d(2, 3, kernel_size=3, padding=1)
    plain = nn.Conv3d(2, 3, kernel_size=3, padding=1)
    plain.weight.data = up.weight.data.flip(2, 3, 4).transpose(0, 1).clone()
    plain.bias.data = up.bias.data.clone()
    x = torch.randn(1, 2, 5, 5, 5)
    torch.testing.assert_close(plain(x), up(x))
    assert count(up) == count(plain)


def test_deep_supervision_levels_halve_and_end_on_the_forward_logits():
    """Finest first."""
    net = UNetExpert((2, 3, 4)).eval()
    x = torch.randn(1, 1, 8, 8, 16)
    levels = net.forward_levels(x)
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 8, 16), (4, 4, 8)]
    torch.testing.assert_close(levels[0], net(x))


@pytest.mark.parametrize("modality", MODALITIES)
def test_one_modality_alone_gives_exactly_its_experts_output(small, image, modality):
    """Its weight is exactly 1."""
    available = torch.tensor([flags(frozenset({modality}))] * 2)
    expected = small.experts[modality.value](image[:, modality.channel : modality.channel + 1])
    assert torch.equal(small(image, available), expected)


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_content_of_a_missing_channel_changes_nothing(small, image, subset):
    """Not even NaN."""
    available = torch.tensor([flags(subset)] * 2)
    spoilt = image.clone()
    spoilt[~available] = float("nan")
    assert torch.equal(
        small(spoilt, available), small(image.masked_fill(~available[..., None, None, None], 0), available)
    )


@pytest.mark.parametrize("subset", SUBSETS)
def test_no_subset_and_no_empty_window_gives_nan(small, subset):
    """An all-zero window of a case with any subset has finite logits and weights that sum to 1."""
    available = torch.tensor([flags(subset)])
    logits, weights = small.forward_with_weights(torch.zeros(1, 4, 64, 8, 8), available)
    assert logits.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 3))


def test_an_all_zero_window_without_availability_is_finite(small):
    """The guard of callers that cannot say what is there."""
    assert small(torch.zeros(1, 4, 64, 8, 8)).isfinite().all()


def test_a_missing_expert_is_not_run(small, image):
    """Cost follows the sequences at hand."""
    runs = []
    for name, net in small.experts.items():
        net.register_forward_hook(lambda *_args, name=name: runs.append(name))
    small(image, torch.tensor([[True, False, False, True], [False, False, False, True]]))
    assert runs == ["t1", "flair"]


def test_samples_of_a_batch_may_have_different_sequences(small, image):
    """Each row equals the row run alone."""
    available = torch.tensor([[True, False, True, True], [False, True, False, False]])
    together = small(image, available)
    for row in range(2):
        torch.testing.assert_close(together[row : row + 1], small(image[row : row + 1], available[row : row + 1]))


def test_subsets_together_equal_subsets_apart(small, image):
    """Running each expert once for all 15 sets gives what 15 passes give."""
    sets = torch.tensor([flags(subset) for subset in SUBSETS])
    together = small.forward_with_weights(image, sets.repeat_interleave(2, dim=0))
    logits, weights = (part.unflatten(0, (15, 2)) for part in together)
    for index, available in enumerate(sets):
        expected_logits, expected_weights = small.forward_with_weights(image, available.expand(2, -1))
        torch.testing.assert_close(logits[index], expected_logits)
        torch.testing.assert_close(weights[index], expected_weights)


def test_views_with_different_sequences_by_sample_equal_views_apart(small, image):
    """A training pair: each expert runs once a sample, and each view equals its own pass."""
    more = torch.tensor([[True, True, False, True], [True, True, True, True]])
    fewer = torch.tensor([[False, True, False, False], [True, False, False, True]])
    together = small(image, torch.cat([more, fewer]))
    torch.testing.assert_close(together, torch.cat([small(image, more), small(image, fewer)]))


def test_the_mixture_is_the_weighted_sum_of_the_experts_logits():
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


def test_static_mean_is_the_mean_of_the_available_experts(image):
    """The ablation's row: divide by how many are there, not by four."""
    network = DMoME({m.value: UNetExpert((2, 3)) for m in MODALITIES}, UniformGate(modalities=4, outputs=3)).eval()
    available = torch.tensor([[True, False, True, False]] * 2)
    expected = (network.experts["t1"](image[:, 0:1]) + network.experts["t2"](image[:, 2:3])) / 2
    torch.testing.assert_close(network(image, available), expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("weighting", list(GATES))
def test_every_level_and_weighting_answers_in_logits_and_scripts(level, weighting):
    """All ablations are finite, of one shape, and survive TorchScript."""
    network = simmlm(level=level, weighting=weighting).eval()
    image = torch.randn(1, 4, 64, 32, 32)
    expected = network(image)
    assert expected.shape == (1, 3, 64, 32, 32)
    assert expected.isfinite().all()
    torch.testing.assert_close(torch.jit.script(network)(image), expected)


def test_probability_level_mixes_probabilities(image):
    """The mean of two sigmoids, told as a logit."""
    network = simmlm(level="probability", weighting="mean").eval()
    available = torch.tensor([[True, True, False, False]] * 2)
    small_image = image[:, :, :, :8, :8].repeat(1, 1, 1, 4, 4)
    mean = (network.experts["t1"](small_image[:, :1]) + network.experts["t1ce"](small_image[:, 1:2])) / 2
    torch.testing.assert_close(network(small_image, available).sigmoid(), mean, rtol=1e-3, atol=1e-5)


def test_an_unknown_preset_option_names_the_choices():
    with pytest.raises(OptionError, match=r"level is 'logits'\. Choose one of logit, probability, feature"):
        simmlm(level="logits")


def test_all_available_is_every_flag():
    assert flags(ALL_AVAILABLE) == (True, True, True, True)
