"""Deep supervision halves the weight of each coarser decoder level and pools the masks."""

import pytest
import torch

from brats_mm.losses.deep_supervision import LevelsLoss
from brats_mm.losses.segmentation import TaskLoss


def test_single_level_is_the_task_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    target = (torch.rand(2, 3, 4, 4, 4, generator=generator) > 0.5).to(torch.uint8)

    assert torch.equal(LevelsLoss()([logits], target), TaskLoss()(logits, target))


def test_level_weights_are_normalised_and_masks_max_pooled() -> None:
    target = torch.zeros(1, 1, 4, 4, 4)
    target[..., 0, 0, 0] = 1
    pooled = torch.zeros(1, 1, 2, 2, 2)
    pooled[..., 0, 0, 0] = 1
    fine, coarse = torch.zeros(1, 1, 4, 4, 4), torch.ones(1, 1, 2, 2, 2)
    task = TaskLoss()

    expected = (task(fine, target) + 0.5 * task(coarse, pooled)) / 1.5
    assert float(LevelsLoss()([fine, coarse], target)) == pytest.approx(float(expected))
