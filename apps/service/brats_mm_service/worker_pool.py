"""All workers of the service, one host each; they take from one queue."""

import threading

from brats_mm_service.job_queue import JobQueue
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.states import JobState
from brats_mm_service.worker_host import Readiness, WorkerHost
from brats_mm_service.worker_interface import Spawn


class WorkerPool:
    """Runs jobs of a queue in as many workers as are wanted."""

    def __init__(self, queue: JobQueue, settings: WorkerSettings, spawn: Spawn, count: int = 1) -> None:
        self._queue = queue
        self._stopping = threading.Event()
        self._hosts = [WorkerHost(queue, settings, spawn, self._stopping, self._given_up) for _ in range(count)]
        queue.metrics.worker_up.set_function(lambda: sum(host.readiness.ready for host in self._hosts))
        queue.metrics.worker_memory.set_function(lambda: max(host.memory_bytes for host in self._hosts))

    def start(self) -> None:
        """Start the workers."""
        for host in self._hosts:
            host.start()

    def stop(self) -> None:
        """Stop them; jobs that run go back to the queue."""
        self._stopping.set()
        self._queue.wake.set()
        for host in self._hosts:
            host.stop()

    @property
    def readiness(self) -> Readiness:
        """That of a worker which is ready, or of the first where none is."""
        states = [host.readiness for host in self._hosts]
        return next((one for one in states if one.ready), states[0])

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker could load the model, several times in a row."""
        return all(host.is_hopeless for host in self._hosts)

    @property
    def pids(self) -> tuple[int | None, ...]:
        """The workers' numbers, each on its machine; None of one that is still to come."""
        return tuple(host.pid for host in self._hosts)

    def _given_up(self, kind: str, detail: str) -> None:
        if self.is_hopeless:
            for job in self._queue.records.in_states([JobState.QUEUED]):
                self._queue.fail(job, kind, detail)
