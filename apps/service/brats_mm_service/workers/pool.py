"""All workers of the service, with one supervisor each and a common queue."""

import threading

from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.states import JobState
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.workers.protocol import Spawn
from brats_mm_service.workers.supervisor import Readiness, Supervisor


class WorkerPool:
    """Runs the jobs of a queue in several workers."""

    def __init__(self, queue: JobQueue, settings: WorkerSettings, spawn: Spawn, count: int = 1) -> None:
        self._queue = queue
        self._stopping = threading.Event()
        self._supervisors = [Supervisor(queue, settings, spawn, self._stopping, self._given_up) for _ in range(count)]
        queue.metrics.worker_up.set_function(lambda: sum(one.readiness.ready for one in self._supervisors))
        queue.metrics.worker_memory.set_function(lambda: max(one.memory_bytes for one in self._supervisors))

    def start(self) -> None:
        """Start the workers."""
        for one in self._supervisors:
            one.start()

    def stop(self) -> None:
        """Stop all workers. Running jobs return to the queue."""
        self._stopping.set()
        self._queue.wake.set()
        for one in self._supervisors:
            one.stop()

    def restart(self) -> None:
        """Restart every worker after its current job, with the active model."""
        for one in self._supervisors:
            one.restart()
        self._queue.wake.set()

    @property
    def readiness(self) -> Readiness:
        """Return the state of a ready worker, or else of the first."""
        states = [one.readiness for one in self._supervisors]
        return next((one for one in states if one.ready), states[0])

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker could load the model, several times in a row."""
        return all(one.is_hopeless for one in self._supervisors)

    @property
    def pids(self) -> tuple[int | None, ...]:
        """Return the process IDs of the workers on their machines. None for a worker that has not started."""
        return tuple(one.pid for one in self._supervisors)

    def _given_up(self, kind: str, detail: str) -> None:
        if self.is_hopeless:
            for job in self._queue.records.in_states([JobState.QUEUED]):
                self._queue.fail(job, kind, detail)
