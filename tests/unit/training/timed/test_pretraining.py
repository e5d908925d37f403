"""Masked reconstruction with the cross-sequence expert, and distillation between its views."""

import math

import pytest
import torch
from torch import nn

from brats_mm.losses.tumour import bce_inside_tumour, level_loss
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.training.timed.loop import make_cross_sequence_step
from brats_mm.training.timed.pretraining import (
    Reconstruction,
    choose_hidden_blocks,
    extract_expert_state,
    run_reconstruction_step,
)

WIDTHS = (4, 4, 4)


def test_hides_cubes_below_share_and_crops_last_cubes():
    draws = torch.tensor([0.4, 0.6, 0.1]).reshape(1, 1, 3, 1, 1)
    hidden = choose_hidden_blocks(draws, (5, 2, 2), block=2, share=0.5)
    assert hidden.shape == (1, 1, 5, 2, 2)
    assert hidden[0, 0, :, 0, 0].tolist() == [True, True, False, False, True]


class Zeros(nn.Module):
    """Predicts 0 everywhere and records its inputs."""

    def forward(self, image: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        self.shown = image
        return torch.zeros_like(image)


def test_sequences_outside_subset_are_hidden_and_predicted():
    torch.manual_seed(0)
    image = torch.cat([torch.full((1, 1, 32, 32, 32), 1.0), torch.full((1, 1, 32, 32, 32), 3.0)], dim=1)
    network = Zeros()
    loss = run_reconstruction_step(network, image, torch.zeros(1), torch.tensor([[True, False]]))
    assert not network.shown[:, 1].any()
    hidden = int((network.shown[:, 0] == 0).sum())  # 8 cubes of side 16, each completely hidden or completely visible
    assert 0 < hidden < 32**3
    assert hidden % 16**3 == 0
    assert loss.item() == pytest.approx((hidden + 9 * 32**3) / (hidden + 32**3))


@pytest.mark.slow
def test_reconstruction_loss_falls_and_expert_can_be_extracted():
    torch.manual_seed(0)
    expert = CrossSequenceExpert(WIDTHS)
    network = Reconstruction(expert)
    image = torch.randn(1, 4, 1, 1, 1).expand(1, 4, 32, 32, 32) + 2
    available = torch.ones(1, 4, dtype=torch.bool)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-2)
    losses = []
    for _ in range(40):
        loss = run_reconstruction_step(network, image, torch.zeros(1), available)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    CrossSequenceExpert(WIDTHS).load_state_dict(extract_expert_state(network.state_dict()))


class LogitOfCount(nn.Module):
    """The logit is the number of sequences in the input."""

    def forward(self, image: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        return available.sum(dim=1).float().reshape(-1, 1, 1, 1, 1).expand(-1, 3, *image.shape[2:])

    def forward_levels_available(self, image: torch.Tensor, available: torch.Tensor) -> list[torch.Tensor]:
        return [self(image, available)]


def test_distillation_adds_divergence_from_view_with_all_sequences():
    image, target = torch.ones(1, 4, 2, 2, 2), torch.ones(1, 3, 2, 2, 2)
    image[:, 3] = 0  # the case has three sequences
    seen = torch.tensor([[True, False, False, False]])
    plain = make_cross_sequence_step()(LogitOfCount(), image, target, seen)
    assert plain == level_loss([torch.ones(1, 3, 2, 2, 2)], target)
    taught = make_cross_sequence_step(distillation=0.5)(LogitOfCount(), image, target, seen)
    p, q = 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))
    divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert (taught - plain).item() == pytest.approx(0.5 * divergence, rel=1e-5)


def test_view_with_all_sequences_is_not_distilled():
    image, target = torch.ones(1, 4, 2, 2, 2), torch.ones(1, 3, 2, 2, 2)
    everything = torch.ones(1, 4, dtype=torch.bool)
    step = make_cross_sequence_step(distillation=0.5)
    assert step(LogitOfCount(), image, target, everything) == make_cross_sequence_step()(
        LogitOfCount(), image, target, everything
    )


@pytest.mark.parametrize(("seen", "weight"), [([True, True, False, False], 2.0), ([True, False, True, True], 0.0)])
def test_loss_inside_tumour_counts_with_t1ce_only(seen, weight):
    image, target = torch.ones(1, 4, 2, 2, 2), torch.zeros(1, 3, 2, 2, 2)
    target[:, 0] = 1
    available = torch.tensor([seen])
    plain = make_cross_sequence_step()(LogitOfCount(), image, target, available)
    extended = make_cross_sequence_step(inside_weight=2.0)(LogitOfCount(), image, target, available)
    logits = LogitOfCount()(image, available)
    assert (extended - plain).item() == pytest.approx(weight * bce_inside_tumour(logits, target).item())
