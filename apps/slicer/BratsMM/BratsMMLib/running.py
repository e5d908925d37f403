"""Run the work in a thread and queue its events for the window's timer.

This module does not access widgets, which only the main thread may do.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from BratsMMLib.failures import Failure, Stopped
from BratsMMLib.sequences import Sequence

Inputs = Mapping[Sequence, Path]
"""File of each available sequence."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run. `share` is from 0 to 1, or None if unknown."""

    text: str
    share: float | None = None


def capitalised(text: str) -> str:
    """Return a text with a capital first letter, and names such as T1ce unchanged."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Done:
    """The folder with the results."""

    folder: Path


@dataclass(frozen=True)
class Failed:
    """The run failed, with a reason."""

    message: str


@dataclass(frozen=True)
class Cancelled:
    """The user stopped the run."""


News = Progress | Done | Failed | Cancelled


@dataclass
class Stop:
    """Request to stop a run. Checked often from the run's thread."""

    event: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise if the run was asked to stop.

        Raises:
            Stopped: the run was asked to stop.
        """
        if self.event.is_set():
            raise Stopped("Cancelled.")

    def wait(self, seconds: float) -> None:
        """Sleep for some seconds, or until the run is asked to stop."""
        if self.event.wait(seconds):
            self.check()


class Runner(Protocol):
    """Runs a case on a service or with the command line."""

    def run(self, inputs: Inputs, folder: Path, tell: Callable[[Progress], None], stop: Stop) -> None:
        """Segment the inputs and write the results to the folder.

        Raises:
            Failure: the run failed, with the reason.
        """
        ...


class Run:
    """One run of a runner in its own thread."""

    def __init__(self, runner: Runner, inputs: Inputs, folder: Path) -> None:
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._stop = Stop()
        self._thread = threading.Thread(target=self._work, args=(runner, dict(inputs), folder), daemon=True)

    def start(self) -> Run:
        """Start the run and return at once."""
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Request cancellation and return at once. `news` reports when the run has stopped."""
        self._stop.event.set()

    def news(self) -> list[News]:
        """Return the events since the last call. The final one is Done, Failed or Cancelled."""
        messages: list[News] = []
        with suppress(queue.Empty):
            while True:
                messages.append(self._news.get_nowait())
        return messages

    def join(self, seconds: float) -> bool:
        """Wait for the end, and return whether it was reached."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self, runner: Runner, inputs: Inputs, folder: Path) -> None:
        end: News
        try:
            runner.run(inputs, folder, self._news.put, self._stop)
            end = Done(folder)
        except Stopped:
            end = Cancelled()
        except Failure as failure:
            end = Failed(str(failure))
        except Exception as error:  # noqa: BLE001 (outermost handler: the window must show the error)
            end = Failed(f"An internal error occurred: {type(error).__name__}: {error}")
        self._news.put(end)
