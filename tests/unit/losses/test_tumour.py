"""Cross-entropy inside the tumour, and the loss of a whole network."""

import math

import pytest
import torch

from brats_mm.losses.tumour import TUMOUR_EPS, TumourLoss, bce_inside_tumour, dice_and_bce
from tests.fakes.networks import tiny_mixture


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


def test_logits_without_further_levels_count_as_one_level():
    logits, target = crop(3.0)
    assert TumourLoss()(logits, target).item() == pytest.approx(dice_and_bce(logits, target).item())
    coarse = [logits, torch.nn.functional.avg_pool3d(logits, 2)]
    expected = (
        dice_and_bce(logits, target) + 0.5 * dice_and_bce(coarse[1], torch.nn.functional.avg_pool3d(target, 2))
    ) / 1.5
    assert TumourLoss()(coarse, target).item() == pytest.approx(expected.item())


def test_steps_lower_loss_of_mixture():
    torch.manual_seed(0)
    network = tiny_mixture()
    image, target = torch.randn(2, 4, 64, 64, 64), torch.zeros(2, 3, 64, 64, 64)
    target[:, :, 16:48] = 1.0
    image[:, :, 16:48] += 2.0
    available = torch.tensor([[True, True, True, True], [False, True, False, False]])
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    losses = []
    for _ in range(10):
        loss = TumourLoss()(network(image, available), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
