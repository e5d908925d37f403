"""Cross-sequence expert, sub-voxel expert, case gate, and their mixture."""

import math

import pytest
import torch

from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.networks.case_gate import CaseGate, make_thumbnail
from brats_mm.networks.cross_mixture import (
    FLAIR_ALONE_SHIFT,
    CrossSequenceMixture,
    extend_availability,
    shift_flair_alone,
)
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.expert import UNetExpert
from brats_mm.networks.presets import cross_sequence
from brats_mm.networks.subvoxel import SubvoxelExpert, depth_to_space, from_lattice_expert, space_to_depth

SMALL = (2, 3, 4)


def small_mixture():
    torch.manual_seed(0)
    experts = {name: SubvoxelExpert(SMALL) for name in ("t1", "t1ce", "t2", "flair")}
    return CrossSequenceMixture(experts, CrossSequenceExpert(SMALL), CaseGate()).eval()


def image():
    return torch.randn(1, 4, 16, 24, 16, generator=torch.Generator().manual_seed(1))


def only(*names):
    return torch.tensor([[name in names for name in ("t1", "t1ce", "t2", "flair")]])


def test_space_to_depth_keeps_blocks_and_inverts_exactly():
    volume = torch.arange(64.0).reshape(1, 1, 4, 4, 4)
    blocks = space_to_depth(volume)
    assert blocks.shape == (1, 8, 2, 2, 2)
    assert sorted(blocks[0, :, 0, 0, 0].tolist()) == [0, 1, 4, 5, 16, 17, 20, 21]
    assert torch.equal(depth_to_space(blocks), volume)


@torch.no_grad()
def test_converted_expert_matches_lattice_expert_on_block_means():
    torch.manual_seed(0)
    lattice = UNetExpert(SMALL).eval()
    fine = torch.randn(1, 1, 32, 32, 32)
    means = torch.nn.functional.avg_pool3d(fine, 2)
    expected = torch.nn.functional.interpolate(lattice(means), scale_factor=2, mode="trilinear", align_corners=False)
    assert torch.allclose(from_lattice_expert(lattice, SMALL).eval()(fine), expected, atol=1e-4)


@torch.no_grad()
def test_single_sequence_is_mixed_with_cross_expert():
    network, given = small_mixture(), image()
    for channel, name in enumerate(("t1", "t1ce", "t2", "flair")):
        share = 1 / (1 + math.exp(-FLAIR_ALONE_SHIFT)) if name == "flair" else 0.5  # a new gate has equal values
        expert = network.experts[name](given[:, channel : channel + 1])
        expected = (1 - share) * expert + share * network.cross(given, only(name))
        assert torch.allclose(network(given, only(name)), expected, atol=1e-5)


@torch.no_grad()
def test_missing_channel_content_has_no_effect():
    network, given = small_mixture(), image()
    changed = given.clone()
    changed[:, 1] = 1000
    available = only("t1", "flair")
    assert torch.allclose(network(given, available), network(changed, available), atol=1e-5)


@torch.no_grad()
def test_weights_sum_to_one_and_cross_expert_is_always_used():
    network, given = small_mixture(), image()
    torch.nn.init.normal_(network.gate.linear.weight)
    for subset in SUBSETS:
        weights = network.compute_gate_weights(given, torch.tensor([to_flags(subset)]))[0]
        assert torch.allclose(weights.sum(dim=0), torch.ones(3))
        assert bool((weights[-1] > 0).all())
        assert not weights[:4][~torch.tensor(to_flags(subset))].any()


def test_only_flair_alone_lowers_gate_value_of_cross_expert():
    available = torch.tensor([[False, False, False, True], [True, False, False, False], [True, False, False, True]])
    shifted = shift_flair_alone(torch.ones(3, 5, 3), available)
    assert torch.equal(shifted[:, :-1], torch.ones(3, 4, 3))
    assert shifted[:, -1, 0].tolist() == pytest.approx([1 + FLAIR_ALONE_SHIFT, 1, 1])


def test_expert_availability_follows_sequences():
    available = torch.tensor([[True, False, False, False], [True, False, False, True], [False, False, False, True]])
    assert extend_availability(available).tolist() == [[1, 0, 0, 0, 1], [1, 0, 0, 1, 1], [0, 0, 0, 1, 1]]


@torch.no_grad()
def test_views_of_one_image_match_separate_passes():
    network, given = small_mixture(), image()
    both = network(given, torch.cat([only("t1", "t2"), only("flair")]))
    assert torch.allclose(both[:1], network(given, only("t1", "t2")), atol=1e-5)
    assert torch.allclose(both[1:], network(given, only("flair")), atol=1e-5)


@torch.no_grad()
def test_mixture_is_weighted_sum_of_experts():
    network, given = small_mixture(), image()
    torch.nn.init.normal_(network.gate.linear.weight)
    available = only("t1", "t1ce")
    weights = network.compute_gate_weights(given, available)[0][:, :, None, None, None]
    expected = (
        weights[0] * network.experts["t1"](given[:, 0:1])
        + weights[1] * network.experts["t1ce"](given[:, 1:2])
        + weights[4] * network.cross(given, available)
    )
    assert torch.allclose(network(given, available), expected, atol=1e-5)


@torch.no_grad()
def test_availability_conditions_the_cross_expert():
    expert = CrossSequenceExpert(SMALL).eval()
    torch.nn.init.normal_(expert.conditions[0].weight)
    given = image() * only("t1")[..., None, None, None]
    assert not torch.allclose(expert(given, only("t1")), expert(given, only("t1", "t2")))


def test_thumbnail_averages_whole_box():
    given = torch.arange(2.0).repeat_interleave(16).reshape(1, 1, 32, 1, 1).expand(1, 1, 32, 16, 16)
    small = make_thumbnail(given)
    assert small.shape == (1, 1, 16, 16, 16)
    assert small[0, 0, :, 0, 0].tolist() == [0.0] * 8 + [1.0] * 8


def test_network_compiles_for_export():
    network, given = small_mixture(), image()
    with torch.no_grad():
        compiled = torch.jit.script(network)
        assert torch.allclose(compiled(given, only("t1", "t2")), network(given, only("t1", "t2")), atol=1e-5)


def test_preset_is_below_40_mb_in_half_precision():
    parameters = sum(parameter.numel() for parameter in cross_sequence().parameters())
    assert parameters == pytest.approx(11.96e6, rel=0.01)
    assert 2 * parameters < 40e6
