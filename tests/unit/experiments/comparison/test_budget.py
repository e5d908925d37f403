"""Budgets of epochs or minutes: the learning rate and the end of a run."""

import math
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from brats_mm.errors import OptionError
from brats_mm.experiments.comparison.budget import BudgetSchedule, StopWhenSpent


class Clock:
    """Clock that only moves when time is added."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def schedule(clock: Clock | None = None, **budget: Any) -> tuple[BudgetSchedule, torch.optim.SGD]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    return BudgetSchedule(optimizer, clock=clock or Clock(), **budget), optimizer


def rate(optimizer: torch.optim.SGD) -> float:
    return float(optimizer.param_groups[0]["lr"])


def test_learning_rate_follows_epochs() -> None:
    """Cosine: the full rate, then (1 + cos(pi / 4)) / 2 and half of it, and nothing at the end."""
    result, optimizer = schedule(epochs=4)
    rates = [rate(optimizer)]
    for _ in range(4):
        result.step()
        rates.append(rate(optimizer))
    quarter = (1 + math.cos(math.pi / 4)) / 2
    assert rates == pytest.approx([0.4, 0.4 * quarter, 0.2, 0.4 * (1 - quarter), 0.0])
    assert result.spent == 1


def test_minutes_count_from_start_of_run() -> None:
    clock = Clock()
    result, optimizer = schedule(clock, minutes=2, kind="poly")
    clock.now = 500.0
    result.start()
    clock.now = 530.0
    result.step()
    assert (result.done, result.seconds, result.spent) == (1, 30.0, 0.25)
    assert rate(optimizer) == pytest.approx(0.4 * 0.75**0.9)


def test_resumed_run_continues_with_spent_budget() -> None:
    clock = Clock()
    first, _ = schedule(clock, minutes=1)
    clock.now = 40.0
    first.step()
    second, optimizer = schedule(clock, minutes=1)
    second.load_state_dict(first.state_dict())
    assert second.spent == pytest.approx(2 / 3)
    assert rate(optimizer) == pytest.approx(0.4 * 0.25)


def run(result: BudgetSchedule) -> int:
    """Return the number of epochs of a trainer that would run much longer."""
    trainer = Engine(lambda engine, batch: None)
    trainer.add_event_handler("EPOCH_COMPLETED", result.step)
    StopWhenSpent(result).attach(trainer)
    trainer.run([0], max_epochs=50)
    return result.done


def test_run_ends_after_epoch_that_spends_budget() -> None:
    class Ticking(Clock):
        def __call__(self) -> float:
            self.now += 7.0  # reads the clock once per epoch
            return self.now

    result, _ = schedule(Ticking(), minutes=0.5)
    assert run(result) == 5
    assert run(schedule(epochs=3)[0]) == 3


def test_run_with_spent_budget_does_nothing() -> None:
    result, _ = schedule(epochs=3)
    result.load_state_dict({"done": 3, "seconds": 1.0})
    assert run(result) == 3


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "Exactly one"),
        ({"epochs": 1, "minutes": 1}, "Exactly one"),
        ({"epochs": 1, "kind": "x"}, "constant"),
    ],
)
def test_rejects_invalid_budgets(budget: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        schedule(**budget)
