"""Dice of the cross-sequence expert in a box around the tumour."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brats_mm.domain.modality import Modality
from brats_mm.training.timed.packing import PackedCase

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from tumour_boxes import box_dice


class BrightT1ce(nn.Module):
    """Predicts each region where T1ce is above a threshold."""

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        t1ce = image[:, Modality.T1CE.channel]
        return torch.stack([t1ce - 0.5, t1ce - 1.5, t1ce - 2.5], dim=1)


@pytest.fixture
def case() -> PackedCase:
    """A tumour of 4 x 4 x 8 voxels, near a corner of the brain, whose T1ce equals its labels."""
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[2:6, 2:6, 2:10] = 1
    labels[2:6, 2:6, 4:8] = 2
    labels[2:6, 2:6, 4:6] = 3
    image = np.repeat((labels + 1)[None], 4, axis=0)
    centres = tuple(np.flatnonzero(labels == kind).astype(np.int32) for kind in range(4))
    ones = np.ones(4, np.float32)
    return PackedCase("head", image, ones, 0 * ones, ones > 0, labels, centres)


def test_exact_prediction_scores_one(case: PackedCase) -> None:
    assert box_dice(BrightT1ce(), case, frozenset(Modality), 32).tolist() == [1, 1, 1]


def test_network_sees_only_the_subset(case: PackedCase) -> None:
    """Without T1ce, the network predicts nothing, and the Dice of each region is 0."""
    assert box_dice(BrightT1ce(), case, frozenset({Modality.FLAIR}), 32).tolist() == [0, 0, 0]


def test_box_contains_the_tumour_at_the_edge_of_the_brain(case: PackedCase) -> None:
    """A box of 16 voxels is shifted inside the brain, so it holds all 128 voxels of the tumour."""
    half = case.labels.copy()
    half[4:6] = 0  # T1ce shows half the tumour: Dice 2 * 64 / (64 + 128)
    shown = PackedCase(
        "head",
        np.repeat((half + 1)[None], 4, axis=0),
        case.scale,
        case.offset,
        case.available,
        case.labels,
        case.centres,
    )
    assert box_dice(BrightT1ce(), shown, frozenset(Modality), 16).tolist() == pytest.approx([2 / 3] * 3)
