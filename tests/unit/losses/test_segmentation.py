"""The task loss against hand-checked values."""

import math

import pytest
import torch

from brats_mm.losses.segmentation import TaskLoss, compute_task_terms

HALF = 0.0
"""Logit of probability 0.5."""
SURE = 30.0
"""Logit of a probability that rounds to 1."""


def _volume(*voxels: float) -> torch.Tensor:
    """Return one sample and one region of 1 x 1 x n voxels."""
    return torch.tensor(voxels, dtype=torch.float32).reshape(1, 1, 1, 1, -1)


def test_dice_of_uncertain_prediction() -> None:
    """P = 0.5 on four voxels, two of them tumour: overlap 1, sums 2 and 2, so 1 - 2/4."""
    terms = compute_task_terms(_volume(HALF, HALF, HALF, HALF), _volume(1, 1, 0, 0))

    assert terms.dice.shape == (1, 1)
    assert terms.dice.item() == pytest.approx(0.5, abs=1e-5)
    assert terms.bce.item() == pytest.approx(math.log(2), abs=1e-6)


def test_perfect_prediction_has_zero_loss() -> None:
    terms = compute_task_terms(_volume(SURE, -SURE), _volume(1, 0))

    assert terms.task.item() == pytest.approx(0.0, abs=1e-5)


def test_empty_region_has_loss_zero_without_prediction_and_one_otherwise() -> None:
    """Smoothing: (0 + 1e-5) / (0 + 1e-5) is 1. With one predicted voxel, the fraction is about 1e-5."""
    nothing = compute_task_terms(_volume(-SURE, -SURE), _volume(0, 0))
    something = compute_task_terms(_volume(SURE, -SURE), _volume(0, 0))

    assert nothing.dice.item() == pytest.approx(0.0, abs=1e-4)
    assert something.dice.item() == pytest.approx(1.0, abs=1e-4)


def test_samples_and_regions_are_separate() -> None:
    logits = torch.full((2, 3, 1, 1, 2), HALF)
    target = torch.zeros(2, 3, 1, 1, 2, dtype=torch.uint8)
    target[0, 1] = 1
    logits[0, 1] = SURE

    dice = compute_task_terms(logits, target).dice

    assert dice.shape == (2, 3)
    assert dice[0, 1].item() == pytest.approx(0.0, abs=1e-4)
    assert dice[1, 1].item() == pytest.approx(1.0, abs=1e-4)


def test_task_loss_is_mean_over_samples_and_regions() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 2, 2, 2, generator=generator)
    target = (torch.rand(2, 3, 2, 2, 2, generator=generator) > 0.5).float()

    assert torch.allclose(TaskLoss()(logits, target), compute_task_terms(logits, target).task.mean())


def test_half_precision_logits_are_summed_in_float32() -> None:
    terms = compute_task_terms(_volume(HALF, HALF).bfloat16(), _volume(1, 0))

    assert terms.dice.dtype == torch.float32
