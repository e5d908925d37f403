"""Squared error of hidden voxels."""

import torch

from brats_mm.training.timed.pretraining import masked_squared_error


def test_only_hidden_brain_voxels_count():
    image = torch.tensor([1.0, 2.0, 0.0, 4.0]).reshape(1, 1, 4, 1, 1)
    predicted = torch.tensor([3.0, 9.0, 9.0, 8.0]).reshape(1, 1, 4, 1, 1)
    hidden = torch.tensor([True, False, True, True]).reshape(1, 1, 4, 1, 1)
    assert masked_squared_error(predicted, image, hidden).item() == (2**2 + 4**2) / 2


def test_nothing_hidden_gives_zero():
    image = torch.ones(1, 1, 2, 2, 2)
    assert masked_squared_error(image + 1, image, torch.zeros_like(image, dtype=torch.bool)).item() == 0
