"""The moving average of the weights follows its formula, and validation uses it."""

import pytest
import torch
from torch import nn

from brats_mm.training.averaging import WeightAverage


def _network(value: float) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def test_average_follows_decay_formula() -> None:
    network = _network(0.0)
    average = WeightAverage(network, decay=0.15)
    for value in (1.0, 2.0):
        nn.init.constant_(network.weight, value)
        average(None)

    # Step 1: decay min(0.15, 1/10), so 0.9 * 1. Step 2: decay min(0.15, 2/11) = 0.15, so 0.15 * 0.9 + 0.85 * 2.
    assert average.values["weight"].item() == pytest.approx(1.835)
    assert network.weight.item() == 2.0


def test_swapping_twice_restores_weights() -> None:
    network = _network(0.3)
    average = WeightAverage(network, decay=0.5)
    nn.init.constant_(network.weight, 0.7)

    average.swap()
    assert (network.weight.item(), average.values["weight"].item()) == pytest.approx((0.3, 0.7))
    average.swap()
    assert (network.weight.item(), average.values["weight"].item()) == pytest.approx((0.7, 0.3))


def test_decay_of_zero_disables_averaging() -> None:
    network = _network(0.3)
    average = WeightAverage(network, decay=0.0)
    average(None)
    average.swap()

    assert average.values == {}
    assert network.weight.item() == pytest.approx(0.3)


def test_resumed_run_restores_average() -> None:
    average = WeightAverage(_network(0.3), decay=0.5)
    average(None)
    other = WeightAverage(_network(0.9), decay=0.5)

    other.load_state_dict(average.state_dict())

    assert other.steps == 1
    assert torch.equal(other.values["weight"], average.values["weight"])


def test_average_added_on_resume_starts_from_weights() -> None:
    other = WeightAverage(_network(0.9), decay=0.5)
    other.load_state_dict(WeightAverage(_network(0.3)).state_dict())

    assert other.values["weight"].item() == pytest.approx(0.9)
