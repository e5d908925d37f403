"""Loss, speed and waiting time of an epoch, with a fixed clock."""

import logging
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine

from brats_mm.training.progress import Progress


def test_epoch_reports_loss_images_per_second_and_waiting_share(caplog: pytest.LogCaptureFixture) -> None:
    # clock readings: created, run, epoch, request, receive, request, receive, end
    times = iter([0.0, 0.0, 0.0, 10.0, 11.0, 14.0, 15.0, 20.0])
    trainer = Engine(lambda engine, batch: [{"loss": batch["loss"]}])
    trainer.optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])  # type: ignore[attr-defined]
    batches = [{"image": torch.zeros(size, 1), "loss": loss} for size, loss in ((3, 1.0), (2, 2.0))]

    with caplog.at_level(logging.INFO):
        Progress(clock=lambda: next(times)).attach(trainer)
        trainer.run(batches, max_epochs=1)

    expected = {"mean_loss": 1.5, "images_per_second": 0.25, "data_wait_share": 0.1, "learning_rate": 0.1}
    assert trainer.state.metrics == pytest.approx(expected)
    message = "Epoch 1 of 1: loss 1.5000, 0.25 images/s, 10 % of 20.0 s waiting for data, about 0 min left."
    assert message in caplog.text
