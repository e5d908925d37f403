"""The cross-sequence expert runs only where the modality experts suspect tumour."""

import math

import numpy as np
import pytest
import torch

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.volume import Grid
from brats_mm.inference.coarse_to_fine import (
    EXPECTED_FINE_WINDOWS,
    FADE,
    MARGIN,
    MIN_SIDE,
    REACH,
    compute_fade,
    compute_nearness,
    find_suspicious_box,
    find_suspicious_voxels,
    mix_modalities,
    place_fine_windows,
)
from brats_mm.inference.cross_sequence_backend import TorchCrossSequenceBackend
from brats_mm.inference.engine import WindowSettings, run_windows
from brats_mm.inference.prepare import ModelInput, Placement
from brats_mm.networks.case_gate import CaseGate
from brats_mm.networks.cross_mixture import FLAIR_ALONE_SHIFT, CrossSequenceMixture
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert
from brats_mm.networks.subvoxel import SubvoxelExpert, refine

CPU = torch.device("cpu")
SHAPE = (128, 112, 120)
PAIR = frozenset({Modality.T1CE, Modality.FLAIR})
ALL = frozenset(MODALITIES)


class Suspects(torch.nn.Module):
    """A modality expert that finds tumour where its image is above 5."""

    def forward(self, x):
        return torch.where(x > 5, 4.0, -9.0).expand(-1, 3, -1, -1, -1)


class Records(torch.nn.Module):
    """A cross-sequence expert with logits of 10 that records its inputs."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, image, available):
        self.seen.append((tuple(image.shape[2:]), available[0].tolist(), image.abs().sum(dim=(0, 2, 3, 4)).tolist()))
        return torch.full((1, 3, *image.shape[2:]), 10.0)


def network(joint=None):
    torch.manual_seed(0)
    experts = {modality.value: Suspects() for modality in MODALITIES}
    actual = CrossSequenceMixture(experts, CrossSequenceExpert((2, 3, 4)), CaseGate())
    actual.cross = joint or Records()
    return actual.eval()


def given(tumour=True):
    image = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(1))
    if tumour:
        image[:, 60:70, 50:60, 40:60] = 9
    whole = tuple((0, size) for size in SHAPE)
    placement = Placement(Grid(SHAPE, np.eye(4)), (0, 1, 2), (False,) * 3, SHAPE, whole)
    return ModelInput(image, ALL, torch.ones(SHAPE, dtype=torch.bool), placement)


def run(net, model_input, subset=ALL, **settings):
    backend = TorchCrossSequenceBackend(net, CPU)
    return run_windows(model_input, backend, WindowSettings(**settings), subsets=[subset])[subset]


def test_cross_expert_is_mixed_only_inside_box():
    net = network()
    result = run(net, given())
    weight = float(result.joint_weights[0])
    assert weight == pytest.approx(1 / 5)  # a new gate gives five experts the same weight
    assert result.logits[0, 65, 55, 50].item() == pytest.approx(0.8 * 4 + 0.2 * 10, abs=1e-4)
    assert result.logits[0, 5, 5, 5].item() == pytest.approx(-9)


def test_cross_expert_does_not_run_without_suspicion():
    net = network()
    result = run(net, given(tumour=False))
    assert net.cross.seen == []
    assert bool((result.logits == -9).all())


@pytest.mark.parametrize("modality", MODALITIES)
def test_cross_expert_runs_for_single_sequences(modality):
    net = network()
    result = run(net, given(), frozenset({modality}))
    alone = [one == modality for one in MODALITIES]
    assert [available for _, available, _ in net.cross.seen] == [alone]
    assert result.weights[:, 0].tolist() == alone
    share = 1 / (1 + math.exp(-FLAIR_ALONE_SHIFT)) if modality is Modality.FLAIR else 0.5
    assert result.joint_weights.tolist() == pytest.approx([share] * 3)
    assert result.logits[0, 65, 55, 50].item() == pytest.approx((1 - share) * 4 + share * 10, abs=1e-4)


def test_subsets_of_one_case_are_independent():
    net, model_input = network(), given()
    alone, both = frozenset({Modality.FLAIR}), frozenset({Modality.T1CE, Modality.FLAIR})
    together = run_windows(model_input, TorchCrossSequenceBackend(net, CPU), WindowSettings(), subsets=[alone, both])
    for subset in (alone, both):
        assert torch.equal(together[subset].logits, run(net, model_input, subset).logits)


def test_cross_expert_sees_only_its_subset():
    net = network()
    run(net, given(), PAIR)
    ((shape, available, signal),) = net.cross.seen
    assert available == [False, True, False, True]
    assert [amount > 0 for amount in signal] == available
    assert all(side % 16 == 0 for side in shape)


def test_weights_of_modality_experts_sum_to_one():
    result = run(network(), given(), PAIR)
    assert torch.allclose(result.weights.sum(dim=0), torch.ones(3))


def test_box_is_widened_by_margin_and_to_minimum_side():
    logits = torch.full((3, *SHAPE), -9.0)
    logits[2, 10:110, 50, 50] = 1
    box = find_suspicious_box(find_suspicious_voxels(logits, torch.ones(SHAPE, dtype=torch.bool)))
    assert box[0] == (max(0, 10 - MARGIN), 110 + MARGIN)
    assert [stop - start for start, stop in box[1:]] == [MIN_SIDE, MIN_SIDE]
    assert all(start >= 0 and stop <= size for (start, stop), size in zip(box, SHAPE, strict=True))


def test_suspicion_outside_brain_does_not_count():
    logits = torch.full((3, *SHAPE), 3.0)
    assert find_suspicious_box(find_suspicious_voxels(logits, torch.zeros(SHAPE, dtype=torch.bool))) is None


@pytest.mark.parametrize("window", [(64, 64, 64), (96, 96, 96), (128, 128, 128)])
def test_gate_weights_do_not_depend_on_window(window):
    torch.manual_seed(0)
    net = network()
    torch.nn.init.normal_(net.gate.linear.weight)
    reference = run(net, given())
    other = run(net, given(), window=window)
    assert torch.allclose(reference.weights, other.weights, atol=1e-4)
    assert torch.allclose(reference.joint_weights, other.joint_weights, atol=1e-4)


def test_progress_counts_every_pass():
    reported = []
    backend = TorchCrossSequenceBackend(network(), CPU)
    run_windows(
        given(), backend, WindowSettings(), subsets=[ALL], on_window=lambda done, total: reported.append((done, total))
    )
    assert reported[:4] == [(done, 4 + EXPECTED_FINE_WINDOWS) for done in (1, 2, 3, 4)]
    assert reported[-1] == (5, 5)


@pytest.mark.slow
def test_openvino_matches_pytorch():
    openvino = pytest.importorskip("brats_mm.inference.openvino_backend")
    torch.manual_seed(0)
    widths = (4, 6, 8)
    experts = {modality.value: SubvoxelExpert(widths) for modality in MODALITIES}
    net = CrossSequenceMixture(experts, CrossSequenceExpert(widths), CaseGate()).eval().requires_grad_(False)
    for expert in experts.values():
        torch.nn.init.normal_(expert.detail.weight, std=0.3)
    for condition in net.cross.conditions:
        torch.nn.init.normal_(condition.weight, std=0.3)
    backend = openvino.OpenVinoCrossSequenceBackend(net, precision="float32")
    plain = TorchCrossSequenceBackend(net, CPU)
    window = torch.randn(1, 4, 32, 24, 16)
    available = torch.tensor([[True, False, True, True]])
    with torch.inference_mode():
        one = [b.compute_contribution(Modality.T1CE, window[:, 1:2]).clone() for b in (backend, plain)]
        joint = [b.compute_joint_contribution(window, available) for b in (backend, plain)]
    assert torch.allclose(*one, atol=1e-3)
    assert torch.allclose(*joint, atol=1e-3)


def test_cross_expert_fades_only_towards_faces_inside_brain_box():
    profile = compute_fade(((0, 40), (10, 60), (20, 100)), (100, 60, 120))[:, 25, 40]
    assert profile[0] == 1
    assert profile[-1] == pytest.approx(1 / (FADE + 1))
    assert bool((profile[: 40 - FADE] == 1).all())
    across = compute_fade(((0, 40), (10, 60), (20, 100)), (100, 60, 120))[0, :, 40]
    assert across[0] == pytest.approx(1 / (FADE + 1))
    assert across[-1] == 1


def test_cross_expert_is_mixed_only_near_suspicious_voxels():
    voxels = torch.zeros(60, 40, 40, dtype=torch.bool)
    voxels[20, 20, 20] = True
    profile = compute_nearness(voxels)[:, 20, 20]
    assert bool((profile[20 - REACH : 20 + REACH + 1] == 1).all())
    assert bool((profile[: 20 - REACH - FADE] == 0).all())
    assert bool((profile[20 + REACH + FADE + 1 :] == 0).all())
    falling = profile[20 + REACH : 20 + REACH + FADE + 1]
    assert bool((falling.diff() <= 0).all())
    assert bool(compute_nearness(torch.ones_like(voxels)).eq(1).all())


def test_modality_experts_are_unchanged_far_from_suspicion():
    net, model_input = network(), given()
    model_input.image[:, 100:104, 90:94, 100:104] = 9  # a second suspicious region widens the box
    result = run(net, model_input)
    assert result.logits[0, 102, 92, 102].item() == pytest.approx(0.8 * 4 + 0.2 * 10, abs=1e-4)
    assert result.logits[0, 85, 70, 80].item() == pytest.approx(-9)


def test_uses_fewer_of_scanning_and_covering_windows():
    diagonal = torch.zeros(160, 160, 160, dtype=torch.bool)
    diagonal[:16, :16, :16] = diagonal[144:, 144:, 144:] = True
    assert len(place_fine_windows(diagonal).positions) == 2  # scanning takes two windows here, and eight for a cross
    diagonal[:16, 144:, :16] = diagonal[72:88, 72:88, 72:88] = True
    assert len(place_fine_windows(diagonal).positions) == 4
    small = torch.zeros(110, 90, 90, dtype=torch.bool)
    small[5:105, 40:50, 40:50] = True
    scan = place_fine_windows(small)
    assert [position[0].start for position in scan.positions] == [0, 14]


def test_thin_box_is_near_everywhere():
    voxels = torch.zeros(2, 3, 40, dtype=torch.bool)
    voxels[0, 0, 20] = True
    assert bool((compute_nearness(voxels)[:, :, 20 - REACH : 20 + REACH + 1] == 1).all())
    assert compute_nearness(voxels)[1, 2, 20 + REACH + FADE // 2].item() == pytest.approx(
        3 / 5
    )  # 3 of 5 voxels are grown


def test_mixing_on_lattice_equals_mixing_logits():
    torch.manual_seed(0)
    lattices = [(modality, torch.randn(27, 4, 3, 5)) for modality in MODALITIES]
    weights = torch.rand(5, 3)
    mixed = refine(mix_modalities(lattices, PAIR, weights)[None])[0]
    logits = [(modality, refine(lattice[None])[0]) for modality, lattice in lattices]
    assert torch.allclose(mixed, mix_modalities(logits, PAIR, weights), atol=1e-5)
    shares = weights[[1, 3]] / weights[[1, 3]].sum(dim=0)
    expected = shares[0, 2] * logits[1][1][2] + shares[1, 2] * logits[3][1][2]
    assert torch.allclose(mixed[2], expected, atol=1e-5)


def build_mixture(cross=None):
    torch.manual_seed(0)
    experts = {modality.value: SubvoxelExpert((4, 6, 8)) for modality in MODALITIES}
    cross = cross or CrossSequenceExpert((4, 6, 8))
    return CrossSequenceMixture(experts, cross, CaseGate()).eval().requires_grad_(False)


def test_contribution_is_that_of_the_expert():
    net = build_mixture()
    expert = net.get_submodule("experts.t2")
    torch.nn.init.normal_(expert.detail.weight)
    backend, window = TorchCrossSequenceBackend(net, CPU), torch.randn(1, 1, 32, 24, 16)
    with torch.inference_mode():
        assert torch.allclose(backend.compute_contribution(Modality.T2, window), expert(window), atol=1e-4)
        assert backend.compute_lattice_contribution(Modality.T2, window).shape == (1, 27, 16, 12, 8)


@pytest.mark.slow
def test_openvino_in_bfloat16_is_close_to_pytorch():
    openvino = pytest.importorskip("brats_mm.inference.openvino_backend")
    net = build_mixture()
    torch.nn.init.normal_(net.get_submodule("experts.t1").detail.weight)
    backend = openvino.OpenVinoCrossSequenceBackend(net, precision="bfloat16")
    window = torch.randn(1, 1, 32, 24, 16)
    with torch.inference_mode():
        expected = TorchCrossSequenceBackend(net, CPU).compute_contribution(Modality.T1, window)
    assert (backend.compute_contribution(Modality.T1, window) - expected).abs().mean() < 0.02 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("view", [(True, True, False, False), (True, False, False, True)])
def test_openvino_runs_the_cross_sequence_expert_of_the_subset(view):
    openvino = pytest.importorskip("brats_mm.inference.openvino_backend")
    net = build_mixture(SplitCrossSequenceExpert(CrossSequenceExpert((4, 6, 8)), CrossSequenceExpert((4, 6, 8))))
    backend = openvino.OpenVinoCrossSequenceBackend(net, precision="float32")
    window, available = torch.randn(1, 4, 32, 32, 16), torch.tensor([view])
    with torch.inference_mode():
        expected = TorchCrossSequenceBackend(net, CPU).compute_joint_contribution(window, available)
    assert torch.allclose(backend.compute_joint_contribution(window, available), expected, atol=1e-4)


@pytest.mark.slow
def test_openvino_releases_results_of_other_experts():
    openvino = pytest.importorskip("brats_mm.inference.openvino_backend")
    net = build_mixture()
    backend = openvino.OpenVinoCrossSequenceBackend(net, precision="float32")
    window = torch.randn(1, 1, 32, 24, 16)
    first = backend.compute_contribution(Modality.T1, window).clone()
    backend.compute_contribution(Modality.T2, window)
    assert backend._last == "t2"
    assert torch.equal(backend.compute_contribution(Modality.T1, window), first)
