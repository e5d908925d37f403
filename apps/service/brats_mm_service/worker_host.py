"""Keeps one worker running and gives it one job after the other; a thread of the service."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from brats_mm_service.job_queue import JobQueue
from brats_mm_service.jobs import Job, Progress
from brats_mm_service.logs import log
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.states import JobState
from brats_mm_service.worker_process import WorkerProcess

_TICK_S = 0.1
_IDLE_S = 0.2
_STARTS = 3
"""Starts in a row that may fail before waiting jobs are told so."""

_CRASHED = (
    "The worker that computed this job stopped ({how}). The files may be damaged, or memory too small. "
    "Check the files and submit the job again."
)


@dataclass(frozen=True)
class Readiness:
    """Whether jobs can be computed now, and by what.

    Attributes:
        ready: the model is loaded.
        reason: a sentence where it is not.
        device, model: what it runs on, and which model it is.
    """

    ready: bool = False
    reason: str = "The model is being loaded."
    device: str | None = None
    model: dict[str, str] | None = None


class WorkerHost:
    """Runs jobs of a queue in a worker process."""

    def __init__(self, queue: JobQueue, settings: WorkerSettings, spawn: Callable[[], WorkerProcess]) -> None:
        self.readiness = Readiness()
        self._queue = queue
        self._settings = settings
        self._spawn = spawn
        self._process: WorkerProcess | None = None
        self._failed_starts = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-host", daemon=True)

    def start(self) -> None:
        """Start the thread, which starts the worker."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker; a job that runs goes back to the queue."""
        self._stopping.set()
        self._queue.wake.set()
        self._thread.join(timeout=10)
        self._drop()

    @property
    def is_hopeless(self) -> bool:
        """Whether the model could not be loaded several times in a row."""
        return self._failed_starts >= _STARTS

    @property
    def pid(self) -> int | None:
        """The worker's number, while there is one."""
        return None if self._process is None else self._process.pid

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception as error:  # noqa: BLE001, PERF203 (the thread must outlive a full disk)
                log("host_error", level="error", error=type(error).__name__)
                self._stopping.wait(1.0)

    def _step(self) -> None:
        process = self._ready_process()
        if process is None:
            return
        job = self._queue.take()
        if job is not None:
            self._serve(process, job)
            return
        self._queue.wake.wait(_IDLE_S)
        self._queue.wake.clear()
        process.receive(0.001)
        if not process.running:
            log("worker_died_idle", level="warning", how=process.death())
            self._drop()

    def _serve(self, process: WorkerProcess, job: Job) -> None:
        log("job_started", job=job.id, attempt=job.attempts)
        try:
            settle = self._compute(process, job)
            settle()
        except OSError as error:
            log("host_error", level="error", job=job.id, error=type(error).__name__)
            self._queue.fail(job, "disk-full", f"The result cannot be stored: {error.strerror}. Free some disk space.")
        finally:
            if self._queue.is_cancelled(job.id):
                self._queue.files.clear_attempts(job.id)
            self._queue.release(job.id)

    def _compute(self, process: WorkerProcess, job: Job) -> Callable[[], None]:
        """Have the worker compute a job; returns what is to be done about how it ended."""
        queue, files = self._queue, self._queue.files
        process.send(
            {
                "do": "segment",
                "job": job.id,
                "upload": str(files.upload(job.id)),
                "output": str(files.attempt(job.id, job.attempts)),
                "sequences": dict(job.sequences),
                "options": vars(job.options),
            }
        )
        start = time.monotonic()
        cancelled_at: float | None = None
        while True:
            message = process.receive(_TICK_S)
            if message is not None and message.get("job") == job.id:
                if message["say"] == "progress":
                    queue.note(job.id, Progress(message["stage"], message["done"], message["total"]))
                else:
                    return self._answered(job, message)
            if self._stopping.is_set():
                self._drop()
                return lambda: queue.requeue(job)
            if cancelled_at is None and queue.is_cancelled(job.id):
                cancelled_at = time.monotonic()
                process.send({"do": "cancel", "job": job.id})
            if cancelled_at is not None and time.monotonic() - cancelled_at > self._settings.cancel_s:
                self._drop()
                return lambda: None
            fault = self._fault(process, time.monotonic() - start)
            if fault is not None:
                self._drop()
                return lambda: queue.fail(job, *fault)

    def _answered(self, job: Job, message: dict[str, Any]) -> Callable[[], None]:
        if message["say"] == "done":
            return lambda: self._queue.finish(job, message["seconds"])
        if message["kind"] == "internal":
            log("job_error", level="error", job=job.id, error=message.get("error"), trace=message.get("trace"))
        return lambda: self._queue.fail(job, message["kind"], message["detail"])

    def _fault(self, process: WorkerProcess, elapsed_s: float) -> tuple[str, str] | None:
        """Why the worker must not go on with this job, if so: the kind of problem, and a sentence."""
        limits = self._settings
        if not process.running:
            return "worker-crash", _CRASHED.format(how=process.death())
        if time.monotonic() - process.last_sign > limits.silent_s:
            return "worker-crash", _CRASHED.format(how=f"no sign of life for {limits.silent_s:g} s")
        if elapsed_s > limits.job_s:
            return "time-limit", f"The job was stopped after {limits.job_s:g} s, the longest time allowed here."
        resident = process.resident_bytes()
        self._queue.metrics.worker_memory.set(resident)
        if resident > limits.memory_bytes:
            return "memory", (
                f"The job needed more than {limits.memory_bytes / 2**30:.1f} GiB of memory, the most allowed here. "
                "Resample the volumes to larger voxels, or ask for a higher limit."
            )
        return None

    def _ready_process(self) -> WorkerProcess | None:
        """The worker with the model loaded; None if that failed, or the service stops."""
        if self._process is not None:
            return self._process
        self._queue.metrics.worker_starts.inc()
        process = self._process = self._spawn()
        start = time.monotonic()
        while not self._stopping.is_set() and process.running and time.monotonic() - start < self._settings.start_s:
            message = process.receive(_TICK_S)
            if message is None:
                continue
            if message["say"] == "ready":
                self._failed_starts = 0
                self.readiness = Readiness(ready=True, reason="", device=message["device"], model=message["model"])
                self._queue.metrics.worker_up.set(1)
                log("worker_ready", device=message["device"], seconds=round(time.monotonic() - start, 3))
                return process
            if message["say"] == "unable":
                self._not_started(message["kind"], message["detail"])
                return None
        if not self._stopping.is_set():
            self._not_started("model", f"The model could not be loaded ({process.death()}). See `brats-mm doctor`.")
        return None

    def _not_started(self, kind: str, detail: str) -> None:
        self._drop(detail)
        self._failed_starts += 1
        log("worker_not_started", level="error", kind=kind, starts=self._failed_starts)
        if self._failed_starts >= _STARTS:
            for job in self._queue.records.in_states([JobState.QUEUED]):
                self._queue.fail(job, kind, detail)
        self._stopping.wait(min(60.0, 2.0**self._failed_starts))

    def _drop(self, reason: str = "The worker is being started anew.") -> None:
        process, self._process = self._process, None
        self.readiness = Readiness(reason=reason)
        self._queue.metrics.worker_up.set(0)
        if process is not None:
            process.kill()
