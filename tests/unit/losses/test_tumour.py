"""Cross-entropy inside the tumour."""

import math

import pytest
import torch

from brats_mm.losses.tumour import TUMOUR_EPS, bce_inside_tumour


def crop(enhancing_logit: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a crop of 1,000 voxels with 400 voxels of tumour, 100 of them core, and no enhancing tumour."""
    target = torch.zeros(1, 3, 10, 10, 10)
    target[:, 0, :4] = 1
    target[:, 1, :1] = 1
    logits = torch.zeros(1, 3, 10, 10, 10)
    logits[:, 1] = torch.where(target[:, 1] > 0, 50.0, -50.0)
    logits[:, 2] = enhancing_logit
    return logits, target


@pytest.mark.parametrize("logit", [-2.0, 0.0, 3.0])
def test_false_enhancing_tumour_costs_its_mean_cross_entropy(logit):
    expected = 0.5 * math.log1p(math.exp(logit)) * 400 / (400 + TUMOUR_EPS)
    assert bce_inside_tumour(*crop(logit)).tolist() == pytest.approx([expected])


def test_voxels_outside_tumour_have_no_gradient():
    logits, target = crop(0.0)
    logits.requires_grad_()
    bce_inside_tumour(logits, target).sum().backward()
    assert not logits.grad[:, :, 4:].any()
    assert bool(logits.grad[:, 2, :4].all())


def test_crop_without_tumour_costs_nothing():
    logits, target = crop(3.0)
    assert bce_inside_tumour(logits, torch.zeros_like(target)).tolist() == [0.0]
