"""The bank and the weights of MWAM against hand-checked values."""

import math

import pytest
import torch

from brats_mm.experiments.mwam.modality_bank import ModalityBank, WeightSettings, compute_branch_weights

NAN = math.nan


def test_weights_with_defaults_of_paper():
    """1.5 - sigmoid(6 (T - 0.7)): 1.5 - 0.0148 at 0, 1 at 0.7, 1.5 - 0.8581 at 1, and 0.5 for large T."""
    weights = compute_branch_weights(torch.tensor([0.0, 0.7, 1.0, 100.0]), WeightSettings())
    expected = [1.5 - 1 / (1 + math.exp(4.2)), 1.0, 1.5 - 1 / (1 + math.exp(-1.8)), 0.5]
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_beta_of_zero_makes_every_weight_alpha():
    weights = compute_branch_weights(torch.tensor([0.0, 5.0]), WeightSettings(alpha=1.0, beta=0.0))
    assert weights.tolist() == [1.0, 1.0]


def test_bank_starts_with_first_ratio_and_then_averages():
    bank = ModalityBank(2)
    bank.update(torch.tensor([4.0, 2.0]))
    assert bank.ratios.tolist() == [4.0, 2.0]
    bank.update(torch.tensor([8.0, 0.0]))
    assert bank.ratios.tolist() == [6.0, 1.0]


def test_scores_are_batch_ratios_over_mean_of_bank():
    """The bank (6, 1) has a mean of 3.5. The batch's (8, 0) score 8 / 3.5 and 0."""
    bank = ModalityBank(2, WeightSettings(sigma=0.0))
    bank.update(torch.tensor([4.0, 2.0]))
    weights = bank.update(torch.tensor([8.0, 0.0]))
    torch.testing.assert_close(weights, compute_branch_weights(torch.tensor([8 / 3.5, 0.0]), WeightSettings()))
    assert weights[0] < weights[1], "what is rich in low frequencies learns slower"


def test_modality_missing_from_batch_keeps_banked_ratio():
    bank = ModalityBank(2, WeightSettings(sigma=0.0))
    bank.update(torch.tensor([4.0, 2.0]))
    weights = bank.update(torch.tensor([4.0, NAN]))
    assert bank.ratios.tolist() == [4.0, 2.0]
    torch.testing.assert_close(weights, compute_branch_weights(torch.tensor([4 / 3, 2 / 3]), WeightSettings()))


def test_unseen_modality_has_weight_one_and_is_not_in_mean():
    bank = ModalityBank(3, WeightSettings(sigma=0.0))
    weights = bank.update(torch.tensor([3.0, NAN, 1.0]))
    assert weights[1] == 1.0
    torch.testing.assert_close(weights[[0, 2]], compute_branch_weights(torch.tensor([1.5, 0.5]), WeightSettings()))


def test_weights_may_average_one_over_seen_modalities():
    """They keep their ratio to each other, and a modality that was never seen has 1."""
    ratios = torch.tensor([3.0, NAN, 1.0])
    plain = ModalityBank(3, WeightSettings(sigma=0.0)).update(ratios)
    even = ModalityBank(3, WeightSettings(sigma=0.0, mean_one=True)).update(ratios)
    assert float(plain[[0, 2]].mean()) < 0.9
    assert even.mean() == pytest.approx(1.0)
    assert even[1] == 1.0
    torch.testing.assert_close(even[0] / even[2], plain[0] / plain[2])


def test_bank_state_can_be_restored():
    one, two = ModalityBank(2), ModalityBank(2)
    one.update(torch.tensor([4.0, 2.0]))
    two.load_state_dict(one.state_dict())
    for bank in (one, two):
        bank.update(torch.tensor([1.0, 5.0]))
    assert two.ratios.tolist() == one.ratios.tolist() == pytest.approx([2.5, 3.5])
    assert two.weights.tolist() == one.weights.tolist()
