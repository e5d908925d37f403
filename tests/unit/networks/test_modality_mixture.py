"""Mixtures with any experts, gates, input shapes and outputs."""

import math

import pytest
import torch
from torch import nn

from brats_mm.experiments.avmnist.presets import LeNet5
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating_parts import ImageEncoder, PartsGate, TextEncoder
from brats_mm.networks.modality_mixture import ModalityMixture

BOTH, FIRST, SECOND = [True, True], [True, False], [False, True]


class Constant(nn.Module):
    """The same logits for every sample."""

    def __init__(self, *logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, given):
        return self.logits.expand(given.shape[0], -1)


class FixedGate(nn.Module):
    """Gate values ln 1 and ln 3 for any input."""

    def forward(self, inputs):
        return torch.tensor([0.0, math.log(3)])[None, :, None].expand(inputs[0].shape[0], -1, -1)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 1, 28, 28, generator=generator), torch.randn(3, 1, 20, 20, generator=generator)]


@pytest.fixture
def avmnist():
    """SimMLM's network for avMNIST: two LeNets and a gate of two CNNs."""
    torch.manual_seed(0)
    gate = PartsGate({"image": ImageEncoder(), "audio": ImageEncoder()}, features=256)
    return ModalityMixture({"image": LeNet5(28), "audio": LeNet5(20)}, gate).eval()


def test_mixture_is_weighted_sum_for_modalities_of_different_shapes(inputs):
    """1/4 and 3/4: (4, 0)/4 + (8, 4) 3/4 = (7, 3)."""
    network = ModalityMixture({"a": Constant(4.0, 0.0), "b": Constant(8.0, 4.0)}, FixedGate())
    logits, weights = network.forward_with_weights(inputs, torch.tensor([BOTH] * 3))
    torch.testing.assert_close(logits, torch.tensor([[7.0, 3.0]] * 3))
    torch.testing.assert_close(weights, torch.tensor([[[0.25], [0.75]]] * 3))


def test_avmnist_gate_matches_paper(avmnist, inputs):
    """128 features per modality, 256 together, 2x1 gate values."""
    branches = avmnist.gate.branches
    assert branches["image"](inputs[0]).shape == branches["audio"](inputs[1]).shape == (3, 128)
    assert (avmnist.gate.values.in_features, avmnist.gate.values.out_features) == (256, 2)
    assert avmnist.gate(inputs).shape == (3, 2, 1)


@pytest.mark.parametrize(("side", "flat"), [(28, 400), (20, 144)])
def test_lenet_adapts_to_image_size(side, flat):
    """28 pixels give 16 maps of 5x5, as in 1998. 20 pixels give maps of 3x3."""
    network = LeNet5(side)
    assert network.classifier[1].in_features == flat
    assert network(torch.zeros(2, 1, side, side)).shape == (2, 10)


def test_single_modality_equals_its_expert(avmnist, inputs):
    for modality, only in (("image", FIRST), ("audio", SECOND)):
        position = ("image", "audio").index(modality)
        expected = avmnist.experts[modality](inputs[position])
        assert torch.equal(avmnist(inputs, torch.tensor([only] * 3)), expected)


def test_missing_modality_content_has_no_effect(avmnist, inputs):
    corrupted = [inputs[0], torch.full_like(inputs[1], float("nan"))]
    available = torch.tensor([FIRST] * 3)
    assert torch.equal(avmnist(corrupted, available), avmnist(inputs, available))


def test_views_match_separate_passes_and_run_each_expert_once(avmnist, inputs):
    runs = []
    for name, expert in avmnist.experts.items():
        expert.register_forward_hook(lambda *_args, name=name: runs.append(name))
    views = [torch.tensor([BOTH, FIRST, BOTH]), torch.tensor([FIRST, FIRST, SECOND])]
    together = avmnist(inputs, torch.cat(views))
    assert runs == ["image", "audio"]
    torch.testing.assert_close(together, torch.cat([avmnist(inputs, view) for view in views]))


def test_network_is_scriptable(avmnist, inputs):
    available = torch.tensor([BOTH, FIRST, SECOND])
    torch.testing.assert_close(torch.jit.script(avmnist)(inputs, available), avmnist(inputs, available))


@pytest.mark.parametrize("shape", [(9,), (9, 8), (9, 8, 7)])
def test_accepts_any_rank_and_number_of_modalities(shape):
    """Six channels in one, two or three dimensions, with five tasks, for spatial outputs and one output per sample."""
    dense = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(shape)]
    torch.manual_seed(0)
    gate = nn.Sequential(nn.Flatten(), nn.Linear(6 * math.prod(shape), 30), nn.Unflatten(1, (6, 5)))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 5))
    image, available = torch.randn(2, 6, *shape), torch.tensor([[True, False] * 3, [False, True] * 3])
    for expert, answer in ((dense(1, 5, 1), (2, 5, *shape)), (flat, (2, 5))):
        network = DMoME({f"m{number}": expert for number in range(6)}, gate)
        logits, weights = network.forward_with_weights(image, available)
        assert logits.shape == answer
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 5))
        assert (weights[~available] == 0).all()


def test_text_encoding_is_mean_of_words_without_padding():
    branch = TextEncoder(words=3, features=1)
    branch.vectors.weight.data = torch.tensor([[9.0], [1.0], [3.0]])
    text = torch.tensor([[[1, 2, 0], [1, 1, 0]], [[0, 0, 0], [0, 0, 0]]])
    torch.testing.assert_close(branch(text), torch.tensor([[2.0], [0.0]]))


def test_mlp_gate_has_hidden_layer():
    gate = PartsGate({"text": TextEncoder(words=5, features=4)}, features=4, hidden=7)
    assert gate([torch.ones(2, 2, 3, dtype=torch.long)]).shape == (2, 1, 1)
    assert gate.values[0].out_features == 7
