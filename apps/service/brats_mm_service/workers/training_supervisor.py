"""Run training jobs one at a time, each in its own process, and adopt the resulting versions."""

import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError
from brats_mm.learning.versions import BUNDLE, ModelVersions
from brats_mm_service.jobs.model import Job
from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.states import JobState
from brats_mm_service.logs import log
from brats_mm_service.problems import extract_kind
from brats_mm_service.settings import WorkerSettings
from brats_mm_service.workers.protocol import Worker
from brats_mm_service.workers.supervisor import Supervisor

_LOOK_S = 0.3


class TrainingSupervisor(Supervisor):
    """Supervisor that runs the training jobs of a queue.

    A training run starts when no segmentation waits or runs, and pauses while one does, unless `beside` is set.

    Args:
        queue: queue of jobs.
        settings: limits of the process. `job_s` is the time limit of a training run.
        spawn: function that starts a training process for a bundle, None for the installed one.
        models: versions of the model.
        beside: whether a training run may run while segmentations run.
    """

    def __init__(
        self,
        queue: JobQueue,
        settings: WorkerSettings,
        spawn: Callable[[Path | None], Worker],
        models: ModelVersions,
        *,
        beside: bool = False,
    ) -> None:
        self._end = threading.Event()
        self._bundle: Path | None = None
        self._models = models
        self._beside = beside
        self._paused = False
        super().__init__(queue, settings, lambda: spawn(self._bundle), self._end, self._fail_all)

    def start(self) -> None:
        """Remove leftovers of an earlier run, and start the thread."""
        self.discard_unfinished()
        super().start()

    def stop(self) -> None:
        """Stop the supervisor. The running training job returns to the queue."""
        self._end.set()
        super().stop()

    def _step(self) -> None:
        waiting = self._queue.records.trainings([JobState.QUEUED])
        if not waiting or self._is_busy():
            self._end.wait(_LOOK_S)
            return
        try:
            self._bundle = self._models.folder(str((waiting[0].training or {})["parent"]))
        except OptionError as error:
            self._queue.fail(waiting[0], "model", str(error))
            return
        worker = self._ensure_ready_worker()
        if worker is None:
            return
        self._paused = False
        job = self._queue.take(training=True)
        if job is not None:
            self._serve(worker, job)
        self._drop("No training is running.")

    def _make_command(self, job: Job) -> dict[str, Any]:
        return {"command": "train"}

    def _check_worker(self, worker: Worker) -> None:
        with suppress(sqlite3.Error):
            if (busy := self._is_busy()) != self._paused:
                self._paused = busy
                worker.send({"command": "pause" if busy else "resume"})

    def _finish(self, job: Job, seconds: Mapping[str, float]) -> bool:
        bundle, version = self._queue.files.attempt(job.id, job.attempts) / BUNDLE, _read_version(job)
        try:
            if bundle.is_dir():  # absent on a retry
                self._models.adopt(bundle, version)
                log("version_made", job=job.id, version=version)
            is_done = super()._finish(job, seconds)
        except OSError:  # the job fails, or was cancelled, which removes its files
            record = self._queue.records.get(job.id)
            if record is None or record.state is not JobState.DONE:
                self._models.discard(version)
            raise
        if not is_done:
            self._models.discard(version)
        return is_done

    def discard_unfinished(self) -> None:
        """Remove versions left behind by training jobs that failed, were cancelled, or will run again."""
        ended = self._queue.records.trainings([JobState.QUEUED, JobState.CANCELLED, JobState.FAILED])
        for job in ended:
            if job.error is not None and extract_kind(job.error) == "damaged":
                continue  # it was done, but its report has changed since
            if _read_version(job) in self._models.names():
                self._models.discard(_read_version(job))
                log("version_discarded", job=job.id, version=_read_version(job))

    def _is_busy(self) -> bool:
        return not self._beside and self._queue.records.has_segmentations()

    def _fail_all(self, kind: str, detail: str) -> None:
        for job in self._queue.records.trainings([JobState.QUEUED]):
            self._queue.fail(job, kind, detail)


def _read_version(job: Job) -> str:
    return str((job.training or {})["version"])
