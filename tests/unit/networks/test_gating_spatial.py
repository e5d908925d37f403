"""Spatial gate: softmax weights in every voxel, exactly the expert for a single modality."""

import pytest
import torch

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.domain.modality import MODALITIES
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.gating import SpatialGate


@pytest.fixture
def image():
    return torch.randn(2, 4, 32, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def network():
    torch.manual_seed(0)
    gate = SpatialGate(modalities=4, outputs=3, width=4)
    torch.nn.init.normal_(gate.head.weight)
    return DMoME({modality.value: UNetExpert((2, 3)) for modality in MODALITIES}, gate).eval()


@pytest.mark.parametrize("subset", SUBSETS)
def test_weights_sum_to_one_per_voxel_and_are_zero_for_missing_sequences(network, image, subset):
    available = torch.tensor([to_flags(subset)] * 2)
    weights = network.compute_gate_weights(image, available)
    assert weights.shape == (2, 4, 3, 32, 16, 16)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 3, 32, 16, 16))
    assert (weights[~available] == 0).all()


def test_weights_vary_over_voxels(network, image):
    assert network.compute_gate_weights(image, torch.ones(2, 4, dtype=torch.bool)).std(dim=(3, 4, 5)).min() > 0


@pytest.mark.parametrize("modality", MODALITIES)
def test_single_modality_equals_its_expert(network, image, modality):
    available = torch.tensor([to_flags(frozenset({modality}))] * 2)
    expected = network.experts[modality.value](image[:, modality.channel : modality.channel + 1])
    assert torch.equal(network(image, available), expected)


def test_initial_weights_are_uniform(image):
    gate = SpatialGate(modalities=4, outputs=3)
    assert (gate(image) == 0).all()


def test_views_match_separate_passes(network, image):
    views = torch.tensor([[True, True, False, True]] * 2 + [[False, True, False, False]] * 2)
    apart = torch.cat([network(image, views[:2]), network(image, views[2:])])
    torch.testing.assert_close(network(image, views), apart)
