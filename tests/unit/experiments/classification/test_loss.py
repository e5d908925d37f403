"""MoFe on cross-entropy against hand-checked values."""

import math

import pytest
import torch

from brats_mm.experiments.classification.loss import CrossEntropyMoFeLoss

HALF, QUARTER = [0.0, 0.0], [0.0, math.log(3)]
"""Logits that give the first of two classes a probability of 1/2 and of 1/4."""


@pytest.mark.parametrize(
    ("more", "fewer", "hinge"),
    [([HALF], [QUARTER], 0.0), ([QUARTER], [HALF], math.log(2)), ([QUARTER, HALF], [HALF, QUARTER], math.log(2) / 2)],
    ids=["in order", "out of order", "one of two"],
)
def test_hinge_uses_cross_entropy_per_sample(more, fewer, hinge):
    """Probabilities of 1/2 and 1/4 cost ln 2 and ln 4. The hinge is ln 4 - ln 2 where the larger subset is worse."""
    logits = torch.tensor(more + fewer)
    target = torch.zeros(len(logits), dtype=torch.long)
    task = math.log(2) + math.log(4)
    assert CrossEntropyMoFeLoss(0.0)(logits, target).item() == pytest.approx(task, abs=1e-6)
    assert CrossEntropyMoFeLoss(10.0)(logits, target).item() == pytest.approx(task + 10 * hinge, abs=1e-5)


def test_violated_hinge_raises_loss_of_smaller_subset():
    """Nothing is detached, so its gradient is less than that of the task loss alone."""
    target = torch.zeros(2, dtype=torch.long)
    gradients = []
    for weight in (0.0, 0.5):
        logits = torch.tensor([QUARTER, HALF], requires_grad=True)
        CrossEntropyMoFeLoss(weight)(logits, target).backward()
        gradients.append(logits.grad[1, 0].item())
    assert gradients == pytest.approx([-0.5, -0.25])
