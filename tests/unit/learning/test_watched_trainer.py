"""A trainer runs for a given time, and waits or stops between two steps."""

import math

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from brats_mm.errors import Cancelled, TrainingError
from brats_mm.learning.watched_trainer import WARMUP, TimedTraining, Watch
from brats_mm.training.schedule import compute_timed_share


class Seconds:
    """A clock that counts one second per check, and calls `on_check` with its time."""

    def __init__(self, on_check=lambda now: None):
        self.now = 0.0
        self.on_check = on_check

    def check(self):
        self.now += 1
        self.on_check(self.now)

    def watch(self):
        return Watch(self.check, lambda stage, done, total: None, lambda: self.now)


@pytest.fixture
def trainer():
    """A trainer of one weight that starts at 1 and has a gradient of 1."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=100,
        train_data_loader=[{"image": torch.ones(1, 1), "label": torch.zeros(1, 1)}] * 3,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=lambda prediction, target: prediction.mean(),
    )


def test_learning_rate_rises_and_falls_with_time(trainer):
    rates = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda _: rates.append(trainer.optimizer.param_groups[0]["lr"])
    )
    training = TimedTraining(4 / 60, Seconds().watch())
    training.run(trainer)
    assert training.steps == 4
    assert rates == pytest.approx([0.1 * share for share in (0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0)])
    assert [compute_timed_share(done, WARMUP) for done in (0.025, 0.5, 2.0)] == pytest.approx([0.5, 0.5, 0])


def test_cancelled_training_takes_no_further_step(trainer):
    def cancel(now):
        if now == 3:
            raise Cancelled("Stop.")

    training = TimedTraining(1, Seconds(cancel).watch())
    with pytest.raises(Cancelled, match="Stop"):
        training.run(trainer)
    assert training.steps == trainer.state.iteration - 1 == 2


def test_loss_that_is_not_finite_stops_before_weights_change(trainer):
    trainer.loss_function = lambda prediction, target: prediction.mean() * float("nan")
    with pytest.raises(TrainingError, match="The loss is nan in step 1, so there is no new version"):
        TimedTraining(1, Seconds().watch()).run(trainer)
    assert trainer.network.weight.item() == 1
