"""A training that ends when its budget of epochs or of minutes is spent, its learning rate falling over that budget.

Comparing methods at one budget needs a schedule that knows the budget: with minutes, nobody knows beforehand how many
epochs there will be. Time is that of the trainer's epochs, of all its runs: what came before a stop counts, what a kill
has undone does not, and nor does loading the cases.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ignite.engine import Events
from torch.optim import Optimizer

from brats_mm.errors import OptionError
from brats_mm.training.schedule import DECAYS

logger = logging.getLogger(__name__)


class BudgetSchedule:
    """A learning rate that follows the spent share of a budget; stepped after every epoch.

    Args:
        optimizer: has the full learning rate.
        kind: a key of `schedule.DECAYS`.
        epochs: the budget, or 0.
        minutes: the budget, or 0.
        clock: seconds.

    Attributes:
        done: epochs so far.
        seconds: that they took.

    Raises:
        OptionError: there is no such kind, or not exactly one of the budgets.
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
        if kind not in DECAYS:
            message = f"The schedule is {kind!r}; it must be one of {', '.join(DECAYS)}."
            raise OptionError(message)
        if (epochs > 0) == (minutes > 0):
            message = f"The budget is {epochs} epochs and {minutes} minutes; give one of them, above 0."
            raise OptionError(message)
        self.optimizer = optimizer  # restoring its state replaces the groups
        self.full = [float(group["lr"]) for group in optimizer.param_groups]
        self.decay = DECAYS[kind]
        self.epochs, self.minutes, self.clock = epochs, minutes, clock
        self.done, self.seconds = 0, 0.0
        self.since = clock()

    @property
    def spent(self) -> float:
        """Share of the budget that is spent, from 0; above 1 where the last epoch went beyond it."""
        return self.done / self.epochs if self.epochs else self.seconds / (60 * self.minutes)

    def start(self) -> None:
        """Time counts from here."""
        self.since = self.clock()

    def step(self) -> None:
        """An epoch is done."""
        now = self.clock()
        self.done += 1
        self.seconds += now - self.since
        self.since = now
        self._apply()

    def state_dict(self) -> dict[str, float | int]:
        """What a resumed run must know."""
        return {"done": self.done, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        """Go on from an earlier run."""
        self.done, self.seconds = int(state["done"]), float(state["seconds"])
        self._apply()

    def _apply(self) -> None:
        share = self.decay(min(1.0, self.spent))
        for group, full in zip(self.optimizer.param_groups, self.full, strict=True):
            group["lr"] = full * share


class StopWhenSpent:
    """Attached to a trainer, after whatever restores its state: ends the run with the epoch that spends the budget.

    Args:
        schedule: knows the budget.
    """

    def __init__(self, schedule: BudgetSchedule) -> None:
        self.schedule = schedule

    def attach(self, engine: Any) -> None:
        """Start the clock, and look after every epoch."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _start(self, engine: Any) -> None:
        self.schedule.start()
        self._look(engine)

    def _look(self, engine: Any) -> None:
        if self.schedule.spent >= 1:
            minutes = self.schedule.seconds / 60
            logger.info("The budget is spent: %d epochs in %.1f minutes.", self.schedule.done, minutes)
            engine.terminate()
