"""Progress bar of an epoch, with loss and images per second."""

import os
import sys
from io import TextIOBase
from typing import Any

from ignite.engine import Events
from monai.handlers import StatsHandler, from_engine
from tqdm import tqdm

from brats_mm.training.iteration import count_images
from brats_mm.training.parsing import parse_bool


def is_bar_shown(setting: bool | str = "auto", *, stream: TextIOBase | None = None) -> bool:  # noqa: FBT001 (a setting)
    """Return whether this process shows a progress bar. Only the first process does, and in `auto` only on a terminal.

    Args:
        setting: `auto`, true or false.
        stream: stream of the bar. Defaults to standard error.
    """
    if os.environ.get("RANK", "0") != "0":
        return False
    if str(setting).lower() == "auto":
        return (stream or sys.stderr).isatty()
    return parse_bool(setting)


class StepLog(StatsHandler):
    """Handler that logs the loss of each step, unless a bar shows it, and the metrics of each epoch.

    Args:
        bar: whether a bar shows the loss.
    """

    def __init__(self, *, bar: bool) -> None:
        super().__init__(
            iteration_log=not bar, tag_name="train_loss", output_transform=from_engine(["loss"], first=True)
        )


class EpochBar:
    """Handler that shows a bar during each epoch. The line of `Progress` replaces it afterwards.

    Args:
        shown: whether to show the bar.
        stream: stream of the bar. Defaults to standard error.
        refresh_s: shortest time between updates, in seconds.
    """

    def __init__(self, *, shown: bool, stream: TextIOBase | None = None, refresh_s: float = 0.1) -> None:
        self.shown = shown
        self.refresh_s = refresh_s
        self.stream = stream
        self.images = 0
        self.bar: Any = tqdm(disable=True)

    def attach(self, engine: Any) -> None:
        """Attach to epochs and steps."""
        if self.shown:
            engine.add_event_handler(Events.EPOCH_STARTED, self._start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._end)

    def _start(self, engine: Any) -> None:
        state = engine.state
        self.images = 0
        self.bar = tqdm(
            total=state.epoch_length,
            desc=f"Epoch {state.epoch} of {state.max_epochs}",
            unit="step",
            leave=False,
            mininterval=self.refresh_s,
            file=self.stream or sys.stderr,
        )

    def _advance(self, engine: Any) -> None:
        self.images += count_images(engine.state.batch)
        speed = self.images / max(self.bar.format_dict["elapsed"], 1e-9)
        loss = float(engine.state.output[0]["loss"])
        self.bar.set_postfix_str(f"loss {loss:.4f}, {speed:.2f} images/s", refresh=False)
        self.bar.update()

    def _end(self, engine: Any) -> None:
        self.bar.close()
