"""Tasks for workers that hold a model, their results, and the rules for retries and for crashed workers."""

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

HELD = 3
"""Maximum number of tasks per worker: one being written, one computed, one read."""

_PATIENCE_S = 1.0


@dataclass(frozen=True)
class Task:
    """A task for a worker. It must be picklable.

    Attributes:
        alone: whether no other task may run in its worker, because this task or its neighbour has crashed one.
    """

    alone: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """Name of the task, unique among the tasks of an engine."""
        raise NotImplementedError


@runtime_checkable
class Result(Protocol):
    """Result of a task."""

    @property
    def name(self) -> str:
        """Name of the task."""


T = TypeVar("T", bound=Task)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Finished(Generic[T, R]):
    """A finished task.

    Attributes:
        task: the task.
        result: its result. None if the worker died.
        lost: cause of death of the worker, such as "signal SIGKILL".
        attempts: number of times that the task was submitted.
    """

    task: T
    result: R | None
    lost: str = ""
    attempts: int = 1


@runtime_checkable
class Engine(Protocol[T, R]):
    """Engine that computes tasks. Used from one thread, inside a `with` block.

    Each submitted task is returned once, finished or lost. `run_tasks` submits lost tasks again.
    """

    @property
    def width(self) -> int:
        """Maximum number of tasks in progress, which limits memory."""

    @property
    def retries(self) -> int:
        """Number of times to submit a lost task again."""

    def __enter__(self) -> "Engine[T, R]":
        """Start."""

    def __exit__(self, *_: object) -> None:
        """Stop at once and abandon running tasks."""

    def submit(self, task: T) -> None:
        """Submit a task. There must be room for it."""

    def collect(self, timeout_s: float) -> list[Finished[T, R]]:
        """Return finished tasks, after waiting for at most `timeout_s` seconds if there are none.

        Raises:
            BratsMMError: nothing can be computed, for example because the model cannot be loaded.
        """


@runtime_checkable
class Runner(Protocol):
    """Runner with a loaded model, which computes the tasks of a worker one after another."""

    def run(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield results in any order. None among the tasks means that no task is available at the moment."""


MakeRunner: TypeAlias = Callable[[int], Runner]
"""Loads the model in a worker, to which it is pickled. Takes the number of the worker, counted from 0.

Raises a BratsMMError if the model or device does not exist.
"""


def run_tasks(engine: Engine[T, R], tasks: Iterable[T]) -> Iterator[Finished[T, R]]:
    """Run tasks on a started engine and yield each once, in the order in which they end.

    A lost task is submitted again, alone in its worker, as often as the engine's `retries`.

    Yields:
        Each task with its result, or without one if its last worker died too.
    """
    attempts: dict[str, int] = {}

    def submit(task: T) -> None:
        attempts[task.name] = attempts.get(task.name, 0) + 1
        engine.submit(task)

    def collect(timeout_s: float) -> Iterator[Finished[T, R]]:
        for finished in engine.collect(timeout_s):
            if finished.result is None and attempts[finished.task.name] <= engine.retries:
                submit(replace(finished.task, alone=True))
            else:
                yield replace(finished, attempts=attempts.pop(finished.task.name))

    for task in tasks:
        submit(task)
        while len(attempts) >= engine.width:
            yield from collect(_PATIENCE_S)
        yield from collect(0.0)
    while attempts:
        yield from collect(_PATIENCE_S)


class Waiting(Generic[T]):
    """Tasks that wait for a worker. Tasks that must run alone go first."""

    def __init__(self) -> None:
        self._tasks: deque[T] = deque()

    def add(self, task: T) -> None:
        """Add a task."""
        (self._tasks.appendleft if task.alone else self._tasks.append)(task)

    def requeue(self, tasks: Iterable[T]) -> None:
        """Return tasks that did not start."""
        self._tasks.extendleft(tasks)

    def assign(self, tasks_by_worker: Sequence[Iterable[T] | None]) -> tuple[int, T] | None:
        """Remove the next task and choose the least busy worker for it.

        A task that must run alone waits for an idle worker, and no task joins one that must run alone.

        Args:
            tasks_by_worker: tasks of each worker. None for a worker that is not ready.

        Returns:
            The index of the worker and the task, or None if no task waits or no worker has room.
        """
        if not self._tasks:
            return None
        room = 1 if self._tasks[0].alone else HELD
        lists = [
            (len(tasks), index)
            for index, worker_tasks in enumerate(tasks_by_worker)
            if worker_tasks is not None and _can_join(tasks := [*worker_tasks], room)
        ]
        return (min(lists)[1], self._tasks.popleft()) if lists else None


def _can_join(tasks: Sequence[Task], room: int) -> bool:
    return len(tasks) < room and not any(task.alone for task in tasks)


STARTS = 3
"""Maximum number of consecutive crashes while the model is loaded. After more, no task can be computed."""

logger = logging.getLogger(__name__)


def describe_exit(code: int | None) -> str:
    """Describe how a process ended.

    >>> describe_exit(-9), describe_exit(3)
    ('signal SIGKILL', 'exit code 3')
    """
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def start_or_exit(work: Callable[..., object], *arguments: object) -> None:
    """Run a function in a daemon thread. An exception ends the process, because the thread is not supervised."""

    def run() -> None:
        try:
            work(*arguments)
        except BaseException:
            logger.exception("A worker stopped because of an unexpected error.")
            os._exit(1)

    threading.Thread(target=run, daemon=True).start()
