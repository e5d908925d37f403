"""All workers of the service, with one supervisor each and a common queue."""

import threading

from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.states import JobState
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.workers.protocol import Spawn
from brats_mm_service.workers.supervisor import Readiness, Supervisor


class WorkerPool:
    """Pool of workers that run the jobs of a queue."""

    def __init__(self, queue: JobQueue, settings: WorkerSettings, spawn: Spawn, count: int = 1) -> None:
        self._queue = queue
        self._stopping = threading.Event()
        self._supervisors = [Supervisor(queue, settings, spawn, self._stopping, self._give_up) for _ in range(count)]
        queue.metrics.worker_up.set_function(
            lambda: sum(supervisor.readiness.ready for supervisor in self._supervisors)
        )
        queue.metrics.worker_memory.set_function(
            lambda: max(supervisor.memory_bytes for supervisor in self._supervisors)
        )

    def start(self) -> None:
        """Start the workers."""
        for supervisor in self._supervisors:
            supervisor.start()

    def stop(self) -> None:
        """Stop all workers. Running jobs return to the queue."""
        self._stopping.set()
        self._queue.wake.set()
        for supervisor in self._supervisors:
            supervisor.stop()

    def restart(self) -> None:
        """Restart every worker after its current job, with the active model."""
        for supervisor in self._supervisors:
            supervisor.restart()
        self._queue.wake.set()

    @property
    def readiness(self) -> Readiness:
        """Return the state of a ready worker, or else of the first."""
        states = [supervisor.readiness for supervisor in self._supervisors]
        return next((supervisor for supervisor in states if supervisor.ready), states[0])

    @property
    def has_given_up(self) -> bool:
        """Whether every worker has repeatedly failed to load the model."""
        return all(supervisor.has_given_up for supervisor in self._supervisors)

    @property
    def pids(self) -> tuple[int | None, ...]:
        """Return the process IDs of the workers on their machines. None for a worker that has not started."""
        return tuple(supervisor.pid for supervisor in self._supervisors)

    def _give_up(self, kind: str, detail: str) -> None:
        if self.has_given_up:
            for job in self._queue.records.list_in_states([JobState.QUEUED]):
                self._queue.fail(job, kind, detail)
