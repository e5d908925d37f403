"""Control a parsed trainer from outside its config: time limit, pause, cancellation, progress and failures."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from brats_mm.errors import TrainingError
from brats_mm.training.schedule import compute_timed_share

WARMUP = 0.05
"""Fraction of the training time over which the learning rate rises."""

REMEDY = "Lower the learning rate, or check the corrected cases."


@dataclass(frozen=True)
class Watch:
    """Callbacks for the progress and cancellation of a fine-tuning run.

    Attributes:
        check: called often, and before each training step. It may wait. An exception from it stops the training.
        progress: called with a stage, the finished and the total number of its parts.
        clock: seconds that count as training time.
    """

    check: Callable[[], None]
    progress: Callable[[str, int, int], None]
    clock: Callable[[], float]


class TimedTraining:
    """Run a trainer for a given time. Between two steps, a watch can pause and cancel it.

    The handlers are attached to a parsed trainer, so no config can omit them. They are attached last, so they override
    the learning rate of the config.

    Args:
        minutes: training time in minutes, by the clock of the watch.
        watch: reports and cancellation.

    Attributes:
        steps: completed steps.
    """

    def __init__(self, minutes: float, watch: Watch) -> None:
        self.steps = 0
        self._seconds = minutes * 60
        self._watch = watch
        self._begin = 0.0
        self._rates: list[float] = []
        self._stopped: Exception | None = None

    def run(self, trainer: SupervisedTrainer) -> None:
        """Run a trainer until the time is over.

        Raises:
            TrainingError: the loss is not finite.
            Exception: the watch raised an exception before a step.
        """
        trainer.add_event_handler(Events.ITERATION_STARTED, self._prepare_step)
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check_loss)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._finish_step)
        self._rates = [float(group["lr"]) for group in trainer.optimizer.param_groups]
        level = trainer.logger.level
        trainer.logger.setLevel(logging.WARNING)  # one line per step fills the log of a service
        self._begin = self._watch.clock()
        try:
            trainer.run()
        finally:
            trainer.logger.setLevel(level)
        if self._stopped is not None:
            raise self._stopped

    def _prepare_step(self, trainer: Any) -> None:
        try:
            self._watch.check()
        except Exception as error:  # noqa: BLE001 (raised later: handlers of the config would log it with a traceback)
            self._stopped = error
            trainer.terminate()
            return
        elapsed = self._measure_elapsed()
        total = max(1, round(self._seconds))
        self._watch.progress("training", min(total, round(elapsed)), total)
        share = compute_timed_share(elapsed / self._seconds, WARMUP)
        for group, rate in zip(trainer.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def _check_loss(self, trainer: Any) -> None:
        loss = trainer.state.output["loss"]
        if not bool(torch.isfinite(loss)):
            message = f"The loss is {loss.item()} in step {self.steps + 1}, so there is no new version. {REMEDY}"
            raise TrainingError(message)

    def _finish_step(self, trainer: Any) -> None:
        self.steps += 1
        if self._measure_elapsed() >= self._seconds:
            trainer.terminate()

    def _measure_elapsed(self) -> float:
        return self._watch.clock() - self._begin
