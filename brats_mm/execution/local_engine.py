"""Local engine: worker processes on this machine, each with a loaded model.

Workers are spawned, not forked, to avoid copies of the planner's threads and locks. Each gets a few tasks at a time, to
read the next case and write the last one while it computes. A worker that dies, for example when memory runs out, is
replaced, and its tasks are returned as lost.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.resource_tracker import ensure_running
from typing import Any, Generic

from brats_mm.errors import ResourceError
from brats_mm.execution.local_worker import END_SIGNALS, Ready, Unable, work
from brats_mm.execution.tasks import HELD, STARTS, Finished, MakeRunner, R, T, Waiting, describe_exit


@dataclass(eq=False)
class _Worker(Generic[T]):
    process: BaseProcess
    pipe: "Connection[object, object]"
    slot: int
    ready: bool = False
    held: dict[str, T] = field(default_factory=dict)


class LocalEngine(Generic[T, R]):
    """Engine that runs tasks in processes on this machine."""

    retries = 1

    def __init__(self, make_runner: MakeRunner, workers: int = 1) -> None:
        self.width = workers * HELD
        self._make_runner = make_runner
        self._count = workers
        self._threads = max(1, _count_cores() // workers) if workers > 1 else 0
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[T]] = []
        self._waiting: Waiting[T] = Waiting()
        self._failed_starts = 0

    def __enter__(self) -> "LocalEngine[T, R]":
        self._workers = [self._start(slot) for slot in range(self._count)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Process IDs of the workers."""
        return tuple(worker.process.pid or 0 for worker in self._workers)

    def submit(self, task: T) -> None:
        """Submit a task. Tasks that must run alone go first."""
        self._waiting.add(task)
        self._dispatch()

    def collect(self, timeout_s: float) -> list[Finished[T, R]]:
        """Return finished tasks, after waiting for at most `timeout_s` seconds if there are none.

        Raises:
            BratsMMError: the model cannot be loaded.
            ResourceError: the workers die while they load it.
        """
        by_sign = {sign: worker for worker in self._workers for sign in (worker.pipe, worker.process.sentinel)}
        finished: list[Finished[T, R]] = []
        for worker in {by_sign[sign] for sign in wait(list(by_sign), timeout_s)}:  # type: ignore[index]
            finished += self._receive(worker)
            if not worker.process.is_alive():
                finished += self._receive(worker) + self._replace(worker)
        self._dispatch()
        return finished

    def _start(self, slot: int) -> _Worker[T]:
        engine_end, worker_end = self._context.Pipe()
        arguments = (worker_end, self._make_runner, slot, self._threads)
        process = self._context.Process(target=work, args=arguments, name=f"brats-mm-{slot}", daemon=True)
        with _defer_signals():
            process.start()
        worker_end.close()
        return _Worker(process, engine_end, slot)

    def _receive(self, worker: _Worker[T]) -> list[Finished[T, R]]:
        results = []
        try:
            while worker.pipe.poll(0):
                message: Any = worker.pipe.recv()
                if isinstance(message, Ready):
                    worker.ready, self._failed_starts = True, 0
                elif isinstance(message, Unable):
                    raise message.error
                else:
                    results.append(Finished[T, R](worker.held.pop(message.name), message))
        except (EOFError, OSError):  # the worker died, which is handled elsewhere
            worker.process.join(timeout=5)
        return results

    def _replace(self, worker: _Worker[T]) -> list[Finished[T, R]]:
        """Replace a dead worker. Its tasks are lost, except those that had not started."""
        worker.process.join()
        how = describe_exit(worker.process.exitcode)
        self._failed_starts += not worker.ready
        if self._failed_starts >= STARTS:
            raise ResourceError(
                f"Worker processes crash while loading the model ({how}). Set fewer --workers, or run `brats-mm "
                "doctor`."
            )
        worker.pipe.close()
        self._workers[self._workers.index(worker)] = self._start(worker.slot)
        if not worker.ready:
            self._waiting.requeue(worker.held.values())
            return []
        return [Finished[T, R](task, None, how) for task in worker.held.values()]

    def _dispatch(self) -> None:
        """Send waiting tasks to workers with room."""
        while assignment := self._waiting.assign([worker.held.values() for worker in self._workers]):
            index, task = assignment
            worker = self._workers[index]
            worker.held[task.name] = task
            try:
                worker.pipe.send(task)
            except OSError:  # the worker has just died: `collect` will return the task as lost
                return


@contextmanager
def _defer_signals() -> Iterator[None]:
    """Handle signals that end a program only after the block, and start processes that defer them too.

    A terminal sends Ctrl-C to all processes. Without this, a process that is being started prints a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # (Windows)
        yield
        return
    ensure_running()  # its first call unblocks signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *END_SIGNALS})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
