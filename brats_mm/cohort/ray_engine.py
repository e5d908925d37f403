"""The Ray engine: actors that hold the model, on every machine of a cluster.

Each actor asks for a share of a machine (cores, or a GPU), so Ray places as many as fit, and starts machines for the
rest where the cluster scales by itself. Tasks and results are a few hundred bytes: images go from the shared file
system to the actor and back, never through Ray's object store. Only an actor that has said that its model is loaded
gets tasks; one that is gone, with its machine for instance, is asked for anew, and its tasks come back as lost.
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
    """Runs in a worker of Ray. Tasks come as calls of `run` at the same time, and go through one runner, overlapped."""

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
        """Why this actor can compute nothing at all; None once its model is loaded."""
        return self._fault

    def run(self, task: CaseTask) -> TaskResult:
        """What came of a task, once it has come."""
        coming: Future[TaskResult] = Future()
        self._results[task.case.name] = coming
        self._tasks.put(task)
        return coming.result()

    def _work(self, runner: Runner) -> None:
        try:
            while True:
                for result in runner.run(chain([self._tasks.get()], self._at_hand())):
                    self._results.pop(result.name).set_result(result)
        except BaseException:  # a thread's end would go unnoticed; the actor's does not
            logger.exception("A worker ends for a reason that the library did not foresee.")
            os._exit(1)

    def _at_hand(self) -> Iterator[CaseTask | None]:
        """The tasks that have come; None says that there is none at this moment."""
        while True:
            yield None if self._tasks.empty() else self._tasks.get()


@dataclass(eq=False)
class _Place:
    """Where an actor is, or is to be.

    Attributes:
        hello: its answer to whether it is ready; None once it has come.
        held: answers to come, and their tasks.
    """

    slot: int
    actor: Any
    hello: Any
    held: dict[Any, CaseTask] = field(default_factory=dict)

    def has_room(self, room: int) -> bool:
        """Whether it is ready, holds fewer tasks than that, and none that is to be alone."""
        return self.hello is None and len(self.held) < room and not any(task.alone for task in self.held.values())


class RayEngine:
    """Runs tasks on a Ray cluster."""

    retries = 3  # machines of a cluster come and go; that is no case's fault

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
        """Take a task; one that is to be alone goes first."""
        (self._waiting.appendleft if task.alone else self._waiting.append)(task)
        self._hand_out()

    def collect(self, timeout_s: float) -> list[Finished]:
        """What has come back.

        Raises:
            BratsMMError: the model cannot be loaded.
            ResourceError: the actors end while they load it.
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
        """Ask for another actor in the place of one that is gone; what that one held is lost."""
        import ray

        if place.hello is not None:
            self._failed_starts += 1
        if self._failed_starts >= _STARTS:
            message = (
                f"The workers on the cluster end while they load the model ({first_line(error)}). Install this version "
                "of brats-mm on every machine, or give each worker more memory."
            )
            raise ResourceError(message) from error
        how = type(error).__name__
        logger.warning("Worker %d on the cluster is gone (%s); another is asked for.", place.slot, how)
        ray.kill(place.actor)  # whatever is left of it: its tasks must not run later
        self._places[self._places.index(place)] = self._start(place.slot)
        return [Finished(task, None, how) for task in place.held.values()]

    def _hand_out(self) -> None:
        """Give waiting tasks to the actors with the fewest; one that is to be alone waits for an idle one."""
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
