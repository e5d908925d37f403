"""Divergence between views of a crop, in nats."""

import math

import pytest
import torch

from brats_mm.losses.distillation import logit_divergence, subset_distillation

SHAPE = (1, 3, 2, 2, 2)


def logits(*probabilities: float) -> torch.Tensor:
    """Return one sample per probability, constant over the voxels."""
    return torch.cat([torch.full(SHAPE, math.log(p / (1 - p))) for p in probabilities])


def test_divergence_of_half_from_three_quarters_by_hand():
    divergence = logit_divergence(logits(0.75), logits(0.5))
    assert divergence.tolist() == pytest.approx([0.5 * math.log(4 / 3)])


def test_equal_logits_have_no_divergence_and_large_logits_stay_finite():
    assert logit_divergence(logits(0.3), logits(0.3)).tolist() == pytest.approx([0], abs=1e-6)
    far = logit_divergence(torch.full(SHAPE, -80.0), torch.full(SHAPE, 80.0))
    assert far.tolist() == pytest.approx([80])  # -log sigmoid(-80)


def test_only_student_gets_gradients_towards_teacher():
    student, teacher = logits(0.5).requires_grad_(), logits(0.75).requires_grad_()
    logit_divergence(student, teacher).sum().backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.sum().item() == pytest.approx(0.5 - 0.75)


def test_only_samples_with_better_informed_teacher_count():
    student, teacher = logits(0.75, 0.75), logits(0.5, 0.9)
    seen = torch.tensor([[True, False], [True, True]])
    more = torch.tensor([[True, True], [True, True]])
    assert subset_distillation(student, teacher, seen, more).item() == pytest.approx(0.5 * math.log(4 / 3))
    assert subset_distillation(student, teacher, more, more).item() == 0
