"""Interface between the planner of a cohort and the engines that compute its cases."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from brats_mm.cohort.records import CaseTask, TaskResult


@dataclass(frozen=True)
class Finished:
    """A finished task.

    Attributes:
        task: the task.
        result: its result. None if the worker died.
        lost: how the worker died, in words, such as "signal SIGKILL".
    """

    task: CaseTask
    result: TaskResult | None
    lost: str = ""


@runtime_checkable
class Engine(Protocol):
    """Computes tasks. Used from one thread, inside a `with` block.

    Each submitted task is returned once, finished or lost. The caller decides what to do about lost tasks.
    """

    @property
    def width(self) -> int:
        """Largest number of tasks in progress, so that memory does not grow with the cohort."""

    @property
    def retries(self) -> int:
        """Number of times to submit a lost task again."""

    def __enter__(self) -> "Engine":
        """Start."""

    def __exit__(self, *_: object) -> None:
        """Stop at once and abandon running tasks."""

    def submit(self, task: CaseTask) -> None:
        """Submit a task. There must be room for it."""

    def collect(self, timeout_s: float) -> list[Finished]:
        """Return finished tasks, after waiting for at most this time if there are none.

        Raises:
            BratsMMError: nothing can be computed, for example because the model cannot be loaded.
        """


@runtime_checkable
class Runner(Protocol):
    """Computes cases in a worker, one after the other, with the model loaded."""

    def run(self, tasks: Iterable[CaseTask | None]) -> Iterator[TaskResult]:
        """Yield results in any order. None among the tasks means that none is available at the moment."""


@runtime_checkable
class MakeRunner(Protocol):
    """Loads the model in a worker, to which it is pickled."""

    def __call__(self, slot: int) -> Runner:
        """Return the runner of worker number `slot`, counted from 0.

        Raises:
            BratsMMError: there is no such model or device.
        """
