"""End a training run when its budget of epochs or minutes is spent, and decay its learning rate over that budget.

With a budget in minutes, the number of epochs is unknown in advance, so the schedule must follow the budget itself.
Only the time of completed epochs counts, over all runs of a resumed training run. Loading the cases does not count.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ignite.engine import Events
from torch.optim import Optimizer

from brats_mm.errors import OptionError, check_choice
from brats_mm.training.schedule import DECAYS

logger = logging.getLogger(__name__)


class BudgetSchedule:
    """Learning-rate schedule over the spent fraction of a budget. Step it after every epoch.

    Args:
        optimizer: optimizer with the initial learning rate.
        kind: a key of `schedule.DECAYS`.
        epochs: budget in epochs, or 0.
        minutes: budget in minutes, or 0.
        clock: function that returns seconds.

    Attributes:
        done: completed epochs.
        seconds: time of the completed epochs.

    Raises:
        OptionError: the kind is unknown, or not exactly one budget is given.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        kind: str = "cosine",
        epochs: int = 0,
        minutes: float | int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        check_choice("The schedule", kind, DECAYS)
        if (epochs > 0) == (minutes > 0):
            raise OptionError(f"The budget is {epochs} epochs and {minutes} minutes. Exactly one must be above 0.")
        self.optimizer = optimizer  # restoring its state replaces the groups
        self.full = [float(group["lr"]) for group in optimizer.param_groups]
        self.decay = DECAYS[kind]
        self.epochs, self.minutes, self.clock = epochs, minutes, clock
        self.done, self.seconds = 0, 0.0
        self.since = clock()

    @property
    def spent(self) -> float:
        """Spent fraction of the budget. Above 1 if the last epoch exceeded the budget."""
        return self.done / self.epochs if self.epochs else self.seconds / (60 * self.minutes)

    def start(self) -> None:
        """Start the clock."""
        self.since = self.clock()

    def step(self) -> None:
        """Record a completed epoch and update the learning rate."""
        now = self.clock()
        self.done += 1
        self.seconds += now - self.since
        self.since = now
        self._apply()

    def state_dict(self) -> dict[str, float | int]:
        """Return the state for a resumed run."""
        return {"done": self.done, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        """Restore the state of an earlier run."""
        self.done, self.seconds = int(state["done"]), float(state["seconds"])
        self._apply()

    def _apply(self) -> None:
        share = self.decay(min(1.0, self.spent))
        for group, full in zip(self.optimizer.param_groups, self.full, strict=True):
            group["lr"] = full * share


class StopWhenSpent:
    """Handler that ends a training run after the epoch that spends the budget.

    Attach it after the handler that restores the state.

    Args:
        schedule: schedule with the budget.
    """

    def __init__(self, schedule: BudgetSchedule) -> None:
        self.schedule = schedule

    def attach(self, engine: Any) -> None:
        """Start the clock with the run, and check the budget after every epoch."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check)

    def _start(self, engine: Any) -> None:
        self.schedule.start()
        self._check(engine)

    def _check(self, engine: Any) -> None:
        if self.schedule.spent >= 1:
            minutes = self.schedule.seconds / 60
            logger.info("The budget is spent: %d epochs in %.1f minutes.", self.schedule.done, minutes)
            engine.terminate()
