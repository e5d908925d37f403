"""What runs a cohort's cases: the interface between the one who plans and those who compute, wherever they are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from brats_mm.cohort.records import CaseTask, TaskResult


@dataclass(frozen=True)
class Finished:
    """A task that came back.

    Attributes:
        task: which.
        result: what came of it; None where whoever computed it is gone.
        lost: then, how that ended, for people: "signal SIGKILL".
    """

    task: CaseTask
    result: TaskResult | None
    lost: str = ""


@runtime_checkable
class Engine(Protocol):
    """Computes tasks somewhere. Used from one thread, inside a `with` block.

    A task that was submitted comes back once, finished or lost; what to do about a lost one is not the engine's to say.
    """

    @property
    def width(self) -> int:
        """How many tasks it holds at most: no more may be under way, so that memory does not grow with the cohort."""

    @property
    def retries(self) -> int:
        """How often a lost task is worth submitting again."""

    def __enter__(self) -> "Engine":
        """Start."""

    def __exit__(self, *_: object) -> None:
        """Stop at once; tasks under way are given up."""

    def submit(self, task: CaseTask) -> None:
        """Take a task; there must be room for it."""

    def collect(self, timeout_s: float) -> list[Finished]:
        """What has come back, after waiting for that long at most while nothing has.

        Raises:
            BratsMMError: nothing can be computed at all, the model cannot be loaded for instance.
        """


@runtime_checkable
class Runner(Protocol):
    """Computes cases in a worker, one after the other, with the model loaded."""

    def run(self, tasks: Iterable[CaseTask | None]) -> Iterator[TaskResult]:
        """Results as they come, in any order; a None among the tasks says that none is at hand at this moment."""


@runtime_checkable
class MakeRunner(Protocol):
    """Loads the model in a worker; travels there by pickle."""

    def __call__(self, slot: int) -> Runner:
        """The runner of the worker number `slot`, from 0.

        Raises:
            BratsMMError: there is no such model or device.
        """
