"""Log one line per epoch: loss, speed, and the fraction of time spent waiting for data."""

import logging
import time
from collections.abc import Callable
from typing import Any

from ignite.engine import Events

from brats_mm.training.iteration import count_images

logger = logging.getLogger(__name__)


class Progress:
    """Handler that logs a line per epoch and sets metrics. Attach it to a trainer as its first handler.

    Metrics: `mean_loss`, `images_per_second` (training without validation), `data_wait_share` (0 to 1) and
    `learning_rate`. If `data_wait_share` is high, raise `num_workers` or `cache_rate`.

    Args:
        clock: function that returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.run_start = self.epoch_start = self.asked = clock()
        self.first_epoch = self.images = self.steps = 0
        self.waited_s = self.losses = 0.0

    def attach(self, engine: Any) -> None:
        """Attach to run, epochs, batches and steps."""
        engine.add_event_handler(Events.STARTED, self._start_run)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._start_waiting)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._end_waiting)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)

    def _start_run(self, engine: Any) -> None:
        self.run_start = self.clock()
        self.first_epoch = 0

    def _start_epoch(self, engine: Any) -> None:
        self.first_epoch = self.first_epoch or int(engine.state.epoch)  # above 1 in a resumed run
        self.epoch_start = self.clock()
        self.images = self.steps = 0
        self.waited_s = self.losses = 0.0

    def _start_waiting(self, engine: Any) -> None:
        self.asked = self.clock()

    def _end_waiting(self, engine: Any) -> None:
        self.waited_s += self.clock() - self.asked

    def _count(self, engine: Any) -> None:
        self.images += count_images(engine.state.batch)
        self.losses += float(engine.state.output[0]["loss"])
        self.steps += 1

    def _end_epoch(self, engine: Any) -> None:
        now, state = self.clock(), engine.state
        seconds = max(now - self.epoch_start, 1e-9)
        metrics = {
            "mean_loss": self.losses / self.steps,
            "images_per_second": self.images / seconds,
            "data_wait_share": self.waited_s / seconds,
            "learning_rate": float(engine.optimizer.param_groups[0]["lr"]),
        }
        state.metrics.update(metrics)
        done = state.epoch - self.first_epoch + 1
        left_min = (now - self.run_start) / done * (state.max_epochs - state.epoch) / 60
        logger.info(
            "Epoch %d of %d: loss %.4f, %.2f images/s, %.0f %% of %.1f s waiting for data, about %.0f min left.",
            *(state.epoch, state.max_epochs, metrics["mean_loss"], metrics["images_per_second"]),
            *(100 * metrics["data_wait_share"], seconds, left_min),
        )
