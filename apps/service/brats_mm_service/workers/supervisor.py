"""Keep one worker running and assign it one job after another, in a thread of the service."""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from brats_mm.execution.tasks import STARTS
from brats_mm.pipeline.request import to_json
from brats_mm_service.jobs.model import Job, Progress
from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.logs import log
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.workers.protocol import Spawn, Worker

_TICK_S = 0.1
_RETRY_S, _LONGEST_RETRY_S = 0.5, 5.0
_IDLE_S = 0.2

_CRASHED = (
    "The worker of this job stopped ({how}). The files may be damaged, or memory may be too small. Check the files, "
    "and submit the job again."
)
_LOST = (
    "The worker was lost in all {attempts} attempts at this job (the last time: {how}). The files may need more "
    "memory than a worker has. Otherwise, submit the job again when the cluster is healthy."
)
_NO_ROOM = "The cluster has no free resources for a worker yet."


@dataclass(frozen=True)
class Readiness:
    """Readiness of a worker, and its model.

    Attributes:
        ready: whether the model is loaded.
        reason: reason if it is not.
        device, model: device and name of the model.
        confined: whether the kernel confines jobs to their own files.
    """

    ready: bool = False
    reason: str = "The model is being loaded."
    device: str | None = None
    model: dict[str, str] | None = None
    confined: bool = False


def parse_progress(message: Mapping[str, Any]) -> Progress:
    """Return the progress in a worker's message. Trainings have no fraction and no steps."""
    fraction, step = message.get("fraction"), message.get("step", "")
    return Progress(message["stage"], message["done"], message["total"], fraction, step)


class Supervisor:
    """Supervisor that runs the jobs of a queue in a worker.

    Args:
        queue: queue of jobs, which other supervisors can share.
        settings: settings of the worker.
        spawn: function that starts a worker.
        stopping: event that is set when the service stops.
        given_up: called with the kind and description of a problem after several failed starts.
    """

    def __init__(
        self,
        queue: JobQueue,
        settings: WorkerSettings,
        spawn: Spawn,
        stopping: threading.Event,
        given_up: Callable[[str, str], None],
    ) -> None:
        self.readiness = Readiness()
        self._queue = queue
        self._settings = settings
        self._spawn = spawn
        self._given_up = given_up
        self._worker: Worker | None = None
        self._failed_starts = 0
        self._restart = threading.Event()
        self._stopping = stopping
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the thread, which starts the worker."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker once `stopping` is set. A running job returns to the queue."""
        self._thread.join(timeout=10)
        self._drop()

    def restart(self) -> None:
        """Restart the worker after its current job, with the active model."""
        self._failed_starts = 0
        self._restart.set()

    @property
    def has_given_up(self) -> bool:
        """Whether loading the model failed several times in a row."""
        return self._failed_starts >= STARTS

    @property
    def pid(self) -> int | None:
        """Return the worker's process ID, or None."""
        worker = self._worker
        return None if worker is None else worker.pid

    @property
    def memory_bytes(self) -> int:
        """Return the worker's resident memory, or 0."""
        worker = self._worker
        return 0 if worker is None else worker.measure_resident_bytes()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception as error:  # noqa: BLE001, PERF203 (the thread must survive a full disk)
                log("supervisor_error", level="error", error=type(error).__name__)
                self._stopping.wait(1.0)

    def _step(self) -> None:
        if self._restart.is_set():
            self._restart.clear()
            self._drop("Another version of the model is being loaded.")
        worker = self._ensure_ready_worker()
        if worker is None:
            return
        job = self._queue.take()
        if job is not None and self._restart.is_set():  # another model was activated meanwhile
            self._queue.requeue(job)
            self._queue.release(job)
            return
        if job is not None:
            self._serve(worker, job)
            return
        self._queue.wake.wait(_IDLE_S)
        self._queue.wake.clear()
        worker.receive(0.001)
        if not worker.running:
            log("worker_died_idle", level="warning", how=worker.death())
            self._drop()

    def _serve(self, worker: Worker, job: Job) -> None:
        log("job_started", job=job.id, attempt=job.attempts)
        try:
            self._settle(job, self._run_job(worker, job))
        finally:
            self._queue.release(job)

    def _run_job(self, worker: Worker, job: Job) -> Callable[[], object]:
        """Have the worker compute a job, and return a function that records its end."""
        try:
            self._queue.files.clear_attempts(job.id)  # left by a disconnected worker
            return self._compute(worker, job)
        except OSError as error:
            return self._prepare_storage_failure(job, error)
        except Exception:
            self._drop()  # it may still compute the job, and its events must not reach the next one
            raise

    def _settle(self, job: Job, settle: Callable[[], object]) -> None:
        """Record the end of a job. Retries until the records and the disk can be written."""
        wait_s = _RETRY_S
        while True:
            try:
                settle()
                return
            except sqlite3.Error as error:
                log("records_error", level="error", job=job.id, error=type(error).__name__)
            except OSError as error:
                settle = self._prepare_storage_failure(job, error)
                continue
            if self._stopping.wait(wait_s):
                return  # the next start settles it
            wait_s = min(2 * wait_s, _LONGEST_RETRY_S)

    def _prepare_storage_failure(self, job: Job, error: OSError) -> Callable[[], object]:
        log("supervisor_error", level="error", job=job.id, error=type(error).__name__, code=error.errno)
        detail = f"The result cannot be stored: {error.strerror}. Free some disk space."
        return partial(self._queue.fail, job, "disk-full", detail)

    def _compute(self, worker: Worker, job: Job) -> Callable[[], object]:
        """Follow the worker's events until the job has ended, and return a function that records its end."""
        queue, files = self._queue, self._queue.files
        worker.send(
            {
                "job": job.id,
                "upload": str(files.upload(job.id).absolute()),
                "output": str(files.attempt(job.id, job.attempts).absolute()),
                **self._make_command(job),
            }
        )
        start = time.monotonic()
        cancelled_at: float | None = None
        while True:
            message = worker.receive(_TICK_S)
            self._check_worker(worker)
            if message is not None and message.get("job") == job.id:
                if message["event"] == "progress":
                    queue.note(job.id, parse_progress(message))
                else:
                    return self._settle_for(job, message)
            if self._stopping.is_set():
                self._drop()
                return lambda: queue.requeue(job)
            if cancelled_at is None and self._is_cancelled(job):
                cancelled_at = time.monotonic()
                worker.send({"command": "cancel", "job": job.id})
            if cancelled_at is not None and time.monotonic() - cancelled_at > self._settings.cancel_s:
                self._drop()
                return lambda: None
            if (how := self._describe_loss(worker)) is not None:
                self._drop()
                if worker.retry_on_crash:
                    return partial(queue.retry, job, "worker-crash", _LOST.format(attempts=job.attempts, how=how))
                return partial(queue.fail, job, "worker-crash", _CRASHED.format(how=how))
            if (fault := self._find_exceeded_limit(worker, time.monotonic() - start)) is not None:
                self._drop()
                return partial(queue.fail, job, *fault)

    def _make_command(self, job: Job) -> dict[str, Any]:
        """Return the command of a job, without its folders."""
        return {"command": "segment", "sequences": dict(job.sequences), "request": to_json(job.request)}

    def _check_worker(self, worker: Worker) -> None:
        """Hook that is called several times per second while a job runs."""

    def _finish(self, job: Job, seconds: Mapping[str, float]) -> bool:
        """Publish the output of a job, and return whether it is done."""
        return self._queue.finish(job, seconds)

    def _is_cancelled(self, job: Job) -> bool:
        try:
            return self._queue.is_cancelled(job.id)
        except sqlite3.Error:  # unknown for now, so the worker continues
            return False

    def _settle_for(self, job: Job, message: dict[str, Any]) -> Callable[[], object]:
        if message["event"] == "done":
            return partial(self._finish, job, message["seconds"])
        if message["kind"] == "internal":
            log("job_error", level="error", job=job.id, error=message.get("error"), trace=message.get("trace"))
        return lambda: self._queue.fail(job, message["kind"], job.use_callers_names(message["detail"]))

    def _describe_loss(self, worker: Worker) -> str | None:
        """Describe how the worker was lost, or return None."""
        if not worker.running:
            return worker.death()
        if time.monotonic() - worker.last_heartbeat > self._settings.silent_s:
            return f"no heartbeat for {self._settings.silent_s:g} s"
        return None

    def _find_exceeded_limit(self, worker: Worker, elapsed_s: float) -> tuple[str, str] | None:
        """Return the kind and description of a problem if the worker must stop this job, or None."""
        limits = self._settings
        if elapsed_s > limits.job_s:
            return "time-limit", f"The job was stopped after {limits.job_s:g} s, the time limit of this service."
        if worker.measure_resident_bytes() > limits.memory_bytes:
            return "memory", (
                f"The job needed more than {limits.memory_bytes / 2**30:.1f} GiB of memory, the limit of this service. "
                "Resample the volumes to larger voxels, or ask for a higher limit."
            )
        return None

    def _ensure_ready_worker(self) -> Worker | None:
        """Return the worker with the model loaded, or None if loading failed or the service is stopping."""
        if self._worker is not None:
            return self._worker
        self._queue.metrics.worker_starts.inc()
        worker = self._worker = self._spawn()
        self.readiness = Readiness(reason=_NO_ROOM if worker.started is None else Readiness.reason)
        while not self._stopping.is_set() and worker.running and not self._loads_too_long(worker):
            message = worker.receive(_TICK_S)
            if message is None:
                continue
            if message["event"] == "ready":
                self._failed_starts = 0
                self.readiness = Readiness(
                    ready=True,
                    reason="",
                    device=message["device"],
                    model=message["model"],
                    confined=bool(message.get("confined")),
                )
                took_s = time.monotonic() - (worker.started or time.monotonic())
                confined = self.readiness.confined
                log("worker_ready", device=message["device"], confined=confined, seconds=round(took_s, 3))
                return worker
            if message["event"] == "unable":
                self._note_failed_start(message["kind"], message["detail"])
                return None
        if not self._stopping.is_set():
            self._note_failed_start(
                "model", f"The model could not be loaded ({worker.death()}). See `brats-mm doctor`."
            )
        return None

    def _loads_too_long(self, worker: Worker) -> bool:
        return worker.started is not None and time.monotonic() - worker.started > self._settings.start_s

    def _note_failed_start(self, kind: str, detail: str) -> None:
        self._drop(detail)
        self._failed_starts += 1
        log("worker_not_started", level="error", kind=kind, starts=self._failed_starts)
        if self.has_given_up:
            self._given_up(kind, detail)
        self._stopping.wait(min(60.0, 2.0**self._failed_starts))

    def _drop(self, reason: str = "The worker is restarting.") -> None:
        worker, self._worker = self._worker, None
        self.readiness = Readiness(reason=reason)
        if worker is not None:
            worker.kill()
