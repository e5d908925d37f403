"""Ray engine: actors with a loaded model on the machines of a cluster.

Each actor requests cores or a GPU, so Ray places as many as fit and an autoscaling cluster adds machines for the rest.
Tasks and results take a few hundred bytes, because actors read images from the shared file system and not from Ray's
object store. Actors get tasks once their model is loaded. A dead actor is replaced, and its tasks are returned as lost.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from queue import SimpleQueue
from typing import Any, Generic

from brats_mm.errors import BratsMMError, ResourceError, extract_first_line
from brats_mm.execution.ray_cluster import ActorShare, connect, require_ray, set_compute_threads, start_actor
from brats_mm.execution.tasks import (
    HELD,
    STARTS,
    Finished,
    MakeRunner,
    R,
    Result,
    Runner,
    T,
    Task,
    Waiting,
    start_or_exit,
)

logger = logging.getLogger(__name__)


class TaskActor:
    """Actor in a Ray worker. Concurrent calls of `run` pass their tasks to one overlapped runner."""

    def __init__(self, make_runner: MakeRunner, slot: int, threads: int) -> None:
        set_compute_threads(threads)
        self._fault: BratsMMError | None = None
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._results: dict[str, Future[Result]] = {}
        try:
            runner = make_runner(slot)
        except BratsMMError as error:
            self._fault = error
        else:
            start_or_exit(self._work, runner)

    def fault(self) -> BratsMMError | None:
        """Return the error that prevents this actor from computing, or None if its model is loaded."""
        return self._fault

    def run(self, task: Task) -> Result:
        """Return the result of a task once it is available."""
        coming: Future[Result] = Future()
        self._results[task.name] = coming
        self._tasks.put(task)
        return coming.result()

    def _work(self, runner: Runner) -> None:
        while True:
            for result in runner.run(chain([self._tasks.get()], self._iterate_received_tasks())):
                self._results.pop(result.name).set_result(result)

    def _iterate_received_tasks(self) -> Iterator[Task | None]:
        """Yield the received tasks, and None while there is no task."""
        while True:
            yield None if self._tasks.empty() else self._tasks.get()


@dataclass(eq=False)
class _RemoteWorker(Generic[T]):
    """An actor or its replacement.

    Attributes:
        hello: pending reply of the actor that it is ready. None once received.
        held: tasks by pending reply.
    """

    slot: int
    actor: Any
    hello: Any
    held: dict[Any, T] = field(default_factory=dict)


class RayEngine(Generic[T, R]):
    """Engine that runs tasks on a Ray cluster."""

    retries = 3  # machines of a cluster may disappear through no fault of the task

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
        self._workers: list[_RemoteWorker[T]] = []
        self._waiting: Waiting[T] = Waiting()
        self._failed_starts = 0
        self._cluster = ExitStack()

    def __enter__(self) -> "RayEngine[T, R]":
        self._cluster.enter_context(connect(self._address))
        self._workers = [self._start(slot) for slot in range(self._count)]
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []
        self._cluster.close()

    def submit(self, task: T) -> None:
        """Submit a task. Tasks that must run alone go first."""
        self._waiting.add(task)
        self._dispatch()

    def collect(self, timeout_s: float) -> list[Finished[T, R]]:
        """Return finished tasks, after waiting for at most `timeout_s` seconds if there are none.

        Raises:
            BratsMMError: the model cannot be loaded.
            ResourceError: the actors crash while loading it.
        """
        import ray

        coming = {reference: worker for worker in self._workers for reference in _list_pending_replies(worker)}
        if not coming:
            return []
        first, pending = ray.wait(list(coming), num_returns=1, timeout=timeout_s)
        more = ray.wait(pending, num_returns=len(pending), timeout=0)[0] if first and pending else []
        finished: list[Finished[T, R]] = []
        for reference in (*first, *more):
            finished += self._handle_reply(coming[reference], reference)
        self._dispatch()
        return finished

    def _start(self, slot: int) -> _RemoteWorker[T]:
        actor = start_actor(TaskActor, self._share, self._make_runner, slot, self._share.threads, calls=HELD)
        return _RemoteWorker(slot, actor, actor.fault.remote())

    def _handle_reply(self, worker: _RemoteWorker[T], reference: Any) -> list[Finished[T, R]]:
        import ray
        from ray.exceptions import RayError

        if worker not in self._workers:  # replaced because of an earlier reply
            return []
        try:
            response = ray.get(reference)
        except RayError as error:
            return self._replace(worker, error)
        if reference is worker.hello:
            if response is not None:
                raise response
            worker.hello, self._failed_starts = None, 0
            return []
        return [Finished[T, R](worker.held.pop(reference), response)]

    def _replace(self, worker: _RemoteWorker[T], error: Exception) -> list[Finished[T, R]]:
        """Replace a dead actor. Its tasks are lost."""
        import ray

        if worker.hello is not None:
            self._failed_starts += 1
        if self._failed_starts >= STARTS:
            raise ResourceError(
                f"Workers on the cluster crash while loading the model ({extract_first_line(error)}). Install this "
                "version of brats-mm on every machine, or give each worker more memory."
            ) from error
        how = type(error).__name__
        logger.warning("Worker %d on the cluster died (%s). Starting another.", worker.slot, how)
        ray.kill(worker.actor)  # its remaining tasks must not run later
        self._workers[self._workers.index(worker)] = self._start(worker.slot)
        return [Finished[T, R](task, None, how) for task in worker.held.values()]

    def _dispatch(self) -> None:
        """Send waiting tasks to ready actors with room."""
        while assignment := self._waiting.assign(
            [None if worker.hello is not None else worker.held.values() for worker in self._workers]
        ):
            index, task = assignment
            worker = self._workers[index]
            worker.held[worker.actor.run.remote(task)] = task


def _list_pending_replies(worker: _RemoteWorker[Any]) -> list[Any]:
    return [*worker.held, *([] if worker.hello is None else [worker.hello])]
