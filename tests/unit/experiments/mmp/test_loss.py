"""The alignment loss against hand-checked values."""

import pytest
import torch

from brats_mm.experiments.mmp.loss import AlignedLoss, smooth_l1
from brats_mm.losses.segmentation import TaskLoss

PROJECTED = torch.tensor([[[0.5, 3.0], [9.0, 9.0]], [[1.0, 1.0], [2.0, 0.0]]])
REAL = torch.zeros(2, 2, 2)


def test_smooth_l1_by_hand():
    """(0.125 + 2.5) / 2 for the first sample and 0.5 + 0.75 for the second, averaged over both."""
    masked = torch.tensor([[True, False], [True, True]])
    assert float(smooth_l1(PROJECTED, REAL, masked)) == pytest.approx((1.3125 + 0.5 + 0.75) / 2)


def test_unmasked_modalities_do_not_count():
    assert float(smooth_l1(PROJECTED, REAL, torch.zeros(2, 2, dtype=torch.bool))) == 0


def answer(real: torch.Tensor) -> tuple:
    masked = torch.tensor([[True, False], [True, True]])
    return torch.zeros(2, 3, 2, 2, 2), [PROJECTED, PROJECTED / PROJECTED], [real, real], masked


def test_loss_adds_weighted_mean_over_scales():
    """The first scale gives 1.28125. The second, ones against zeros, gives 0.5 per masked modality: (0.5 + 1) / 2."""
    target = torch.ones(2, 3, 2, 2, 2)
    result = answer(REAL)
    result[1][1] = torch.ones_like(PROJECTED)
    task = float(TaskLoss()(result[0], target))
    assert float(AlignedLoss(0.2)(result, target)) == pytest.approx(task + 0.2 * (1.28125 + 0.75) / 2)
    assert float(AlignedLoss(0)(result, target)) == pytest.approx(task)


@pytest.mark.parametrize("detach", [True, False])
def test_targets_are_detached_by_default(detach):
    real = REAL.clone().requires_grad_()
    result = answer(real)
    result[1][1] = torch.ones_like(PROJECTED)
    result[0].requires_grad_()
    AlignedLoss(0.2, detach=detach)(result, torch.ones(2, 3, 2, 2, 2)).backward()
    assert (real.grad is None) == detach


def test_without_projections_only_task_loss_remains():
    target = torch.ones(1, 3, 2, 2, 2)
    logits = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    result = (logits, [], [], torch.ones(1, 4, dtype=torch.bool))
    assert float(AlignedLoss()(result, target)) == pytest.approx(float(TaskLoss()(logits, target)))
