"""Ray engine: actors with a loaded model on the machines of a cluster.

Each actor requests cores or a GPU, so Ray places as many as fit and an autoscaling cluster adds machines for the rest.
Tasks and
results take a few hundred bytes, because actors read images from the shared file system and not from Ray's object
store.
Actors get tasks once their model is loaded. A dead actor is replaced, and its tasks are returned as lost.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from queue import SimpleQueue
from typing import Any

from brats_mm.cohort.engine import Finished, MakeRunner, Runner
from brats_mm.cohort.records import CaseTask, TaskResult
from brats_mm.errors import BratsMMError, ResourceError, first_line
from brats_mm.execution.ray_cluster import ActorShare, compute_on, joined, require_ray, start_actor

HELD = 3
"""Tasks that an actor holds: one being written, one computed, one read."""

_STARTS = 3
"""Actors that may end in a row before they have loaded the model."""

logger = logging.getLogger(__name__)


class CaseActor:
    """Runs in a Ray worker. Concurrent calls of `run` pass their tasks to one overlapped runner."""

    def __init__(self, make_runner: MakeRunner, slot: int, threads: int) -> None:
        compute_on(threads)
        self._fault: BratsMMError | None = None
        self._tasks: SimpleQueue[CaseTask] = SimpleQueue()
        self._results: dict[str, Future[TaskResult]] = {}
        try:
            runner = make_runner(slot)
        except BratsMMError as error:
            self._fault = error
        else:
            threading.Thread(target=self._work, args=(runner,), daemon=True).start()

    def fault(self) -> BratsMMError | None:
        """Return the error that prevents this actor from computing. None once its model is loaded."""
        return self._fault

    def run(self, task: CaseTask) -> TaskResult:
        """Return the result of a task once it is available."""
        coming: Future[TaskResult] = Future()
        self._results[task.case.name] = coming
        self._tasks.put(task)
        return coming.result()

    def _work(self, runner: Runner) -> None:
        try:
            while True:
                for result in runner.run(chain([self._tasks.get()], self._at_hand())):
                    self._results.pop(result.name).set_result(result)
        except BaseException:  # the end of a thread would go unnoticed, but not that of the actor
            logger.exception("A worker ends for a reason that the library did not foresee.")
            os._exit(1)

    def _at_hand(self) -> Iterator[CaseTask | None]:
        """Yield the received tasks, and None whenever there is none at the moment."""
        while True:
            yield None if self._tasks.empty() else self._tasks.get()


@dataclass(eq=False)
class _Place:
    """An actor or its replacement.

    Attributes:
        hello: pending reply of the actor that it is ready. None once received.
        held: tasks by pending reply.
    """

    slot: int
    actor: Any
    hello: Any
    held: dict[Any, CaseTask] = field(default_factory=dict)

    def has_room(self, room: int) -> bool:
        """Whether it is ready, holds fewer tasks than that, and none that must run alone."""
        return self.hello is None and len(self.held) < room and not any(task.alone for task in self.held.values())


class RayEngine:
    """Runs tasks on a Ray cluster."""

    retries = 3  # machines of a cluster come and go, which is not the fault of a case

    def __init__(
        self,
        make_runner: MakeRunner,
        address: str = "auto",
        workers: int = 1,
        *,
        cores: float | int = 2,
        gpus: float | int = 0,
    ) -> None:
        require_ray()
        self.width = workers * HELD
        self._make_runner, self._address, self._count = make_runner, address, workers
        self._share = ActorShare(cores, gpus)
        self._places: list[_Place] = []
        self._waiting: deque[CaseTask] = deque()
        self._failed_starts = 0
        self._cluster = ExitStack()

    def __enter__(self) -> "RayEngine":
        self._cluster.enter_context(joined(self._address))
        self._places = [self._start(slot) for slot in range(self._count)]
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for place in self._places:
            ray.kill(place.actor)
        self._places = []
        self._cluster.close()

    def submit(self, task: CaseTask) -> None:
        """Submit a task. Tasks that must run alone go first."""
        (self._waiting.appendleft if task.alone else self._waiting.append)(task)
        self._hand_out()

    def collect(self, timeout_s: float) -> list[Finished]:
        """Return finished tasks.

        Raises:
            BratsMMError: the model cannot be loaded.
            ResourceError: the actors crash while loading it.
        """
        import ray

        coming = {answer: place for place in self._places for answer in _answers(place)}
        if not coming:
            return []
        first, rest = ray.wait(list(coming), num_returns=1, timeout=timeout_s)
        more = ray.wait(rest, num_returns=len(rest), timeout=0)[0] if first and rest else []
        finished: list[Finished] = []
        for answer in (*first, *more):
            finished += self._answered(coming[answer], answer)
        self._hand_out()
        return finished

    def _start(self, slot: int) -> _Place:
        actor = start_actor(CaseActor, self._share, self._make_runner, slot, self._share.threads, calls=HELD)
        return _Place(slot, actor, actor.fault.remote())

    def _answered(self, place: _Place, answer: Any) -> list[Finished]:
        import ray
        from ray.exceptions import RayError

        if place not in self._places:  # replaced for an answer before this one
            return []
        try:
            said = ray.get(answer)
        except RayError as error:
            return self._replaced(place, error)
        if answer is place.hello:
            if said is not None:
                raise said
            place.hello, self._failed_starts = None, 0
            return []
        return [Finished(place.held.pop(answer), said)]

    def _replaced(self, place: _Place, error: Exception) -> list[Finished]:
        """Replace a dead actor. Its tasks are lost."""
        import ray

        if place.hello is not None:
            self._failed_starts += 1
        if self._failed_starts >= _STARTS:
            message = (
                f"Workers on the cluster crash while loading the model ({first_line(error)}). Install this version "
                "of brats-mm on every machine, or give each worker more memory."
            )
            raise ResourceError(message) from error
        how = type(error).__name__
        logger.warning("Worker %d on the cluster died (%s). Starting another.", place.slot, how)
        ray.kill(place.actor)  # its remaining tasks must not run later
        self._places[self._places.index(place)] = self._start(place.slot)
        return [Finished(task, None, how) for task in place.held.values()]

    def _hand_out(self) -> None:
        """Give waiting tasks to the least busy actors. A task that must run alone waits for an idle actor."""
        while self._waiting:
            room = 1 if self._waiting[0].alone else HELD
            ready = [place for place in self._places if place.has_room(room)]
            if not ready:
                return
            place = min(ready, key=lambda one: len(one.held))
            task = self._waiting.popleft()
            place.held[place.actor.run.remote(task)] = task


def _answers(place: _Place) -> list[Any]:
    return [*place.held, *([] if place.hello is None else [place.hello])]
