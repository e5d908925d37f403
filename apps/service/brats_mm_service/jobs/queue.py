"""Life cycle of jobs, as used by routes and other protocols.

job, is_new = queue.submit(new_job, incoming_folder)
job = await queue.wait(job.id, timeout_s=600)
queue.files.result(job.id) / "segmentation.nii.gz"
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from brats_mm_service.jobs.files import JobFiles, build_manifest
from brats_mm_service.jobs.model import Job, NewJob, Progress, ResultFile
from brats_mm_service.jobs.notifications import JobNotifications
from brats_mm_service.jobs.records import JobRecords
from brats_mm_service.jobs.states import OPEN, JobState
from brats_mm_service.logs import log
from brats_mm_service.metrics import Metrics
from brats_mm_service.problems import Problem, make_not_found_error, make_problem_body
from brats_mm_service.settings import QueueLimits, Retention

_CANCEL_WAIT_S = 1.8


@dataclass(frozen=True)
class JobView:
    """Current state of a job.

    Attributes:
        position: position in the queue, 0 for the next job. None unless it waits.
    """

    job: Job
    progress: Progress
    position: int | None


class JobQueue:
    """Accept, show, cancel and expire jobs, and pass them to the supervisors."""

    def __init__(
        self, records: JobRecords, files: JobFiles, limits: QueueLimits, retention: Retention, metrics: Metrics
    ) -> None:
        self.records = records
        self.files = files
        self.limits = limits
        self.metrics = metrics
        self.typical_s = 60.0
        self.wake = threading.Event()
        self.notifications = JobNotifications()
        self._retention = retention
        self._progress: dict[str, Progress] = {}
        self._at_work: set[tuple[str, int]] = set()  # attempts of jobs
        self._doomed: set[str] = set()  # jobs whose removal failed
        self._idle = threading.Condition()

    def submit(self, new: NewJob, incoming: Path) -> tuple[Job, bool]:
        """Accept a job whose sequences are in `incoming`. Always takes ownership of the folder.

        Returns:
            The job, and whether it is new. False if the caller's key belongs to an earlier job.

        Raises:
            QueueFull: too many jobs are waiting.
            OSError: the disk is full.
        """
        try:
            self.files.adopt(incoming, new.id)
            job, is_new = self.records.add(new, self.limits)
        except BaseException:
            self.files.discard(incoming)
            self.files.remove(new.id)
            raise
        if not is_new:
            self.files.remove(new.id)
            return job, False
        self.metrics.accepted.inc()
        log("job_accepted", job=job.id, sequences=list(job.sequences))
        self.wake.set()
        return job, True

    def view(self, job_id: str) -> JobView | None:
        """Return the current state of a job, or None."""
        job = self.records.get(job_id)
        if job is None:
            return None
        position = None
        if job.state is JobState.QUEUED:
            waiting = self.records.waiting()
            position = waiting.index(job_id) if job_id in waiting else None
        return JobView(job, self.progress(job), position)

    def progress(self, job: Job) -> Progress:
        """Return the progress of a job."""
        if job.state is JobState.QUEUED:
            return Progress("waiting")
        if job.state is JobState.RUNNING:
            return self._progress.get(job.id, Progress("reading"))
        return Progress("finished", fraction=1.0)

    async def wait(self, job_id: str, timeout_s: float) -> Job | None:
        """Return the job once it has ended, or its state after `timeout_s`, or None if it was deleted."""
        end = time.monotonic() + timeout_s
        with self.notifications.subscribe(job_id) as subscription:
            while True:
                job = await asyncio.to_thread(self.records.get, job_id)
                remaining_s = end - time.monotonic()
                if job is None or job.state not in OPEN or remaining_s <= 0:
                    return job
                await subscription.wait(remaining_s)

    def remove(self, job: Job) -> None:
        """Cancel a running or waiting job, or delete an ended one with its files.

        After an error, the next sweep removes the remaining files.
        """
        try:
            self._remove(job)
        except Exception:
            self._doomed.add(job.id)
            raise
        self.notifications.notify(job.id)

    def _remove(self, job: Job) -> None:
        if self.records.cancel(job.id):
            self.wake.set()
            with self._idle:
                self._idle.wait_for(lambda: job.id not in dict(self._at_work), timeout=_CANCEL_WAIT_S)
            self.files.remove(job.id)
            self.records.erase()
            self.metrics.jobs.labels(JobState.CANCELLED.value).inc()
            log("job_cancelled", job=job.id)
        else:
            # Delete the record first. If the service is killed in between, the next start removes the orphaned files.
            self.records.delete(job.id)
            self.files.remove(job.id)
            log("job_deleted", job=job.id)

    def _finish_removals(self) -> None:
        """Remove the remaining files of jobs whose removal failed."""
        for job_id in tuple(self._doomed):
            job = self.records.get(job_id)
            if job is None or job.state is JobState.CANCELLED:
                self.files.remove(job_id)
                self.records.erase()
            self._doomed.discard(job_id)

    def take(self, *, training: bool = False) -> Job | None:
        """Start the next segmentation or training. Called by the supervisor."""
        with self._idle:
            job = self.records.start_next(training=training)
            if job is not None:
                self._at_work.add((job.id, job.attempts))
        if job is not None:
            self.note(job.id, Progress("reading"))
            self.metrics.stages.labels("wait").observe(max(0.0, (job.started or 0) - job.created))
        return job

    def note(self, job_id: str, progress: Progress) -> None:
        """Record the progress of a job. Called by the supervisor."""
        self._progress[job_id] = progress
        self.notifications.notify(job_id)

    def is_cancelled(self, job_id: str) -> bool:
        """Return whether a job was cancelled. Called by the supervisor."""
        job = self.records.get(job_id)
        return job is None or job.state is not JobState.RUNNING

    def finish(self, job: Job, seconds: Mapping[str, float]) -> bool:
        """Publish the output of an attempt. Called by the supervisor.

        Returns:
            Whether the job is done. False if it was cancelled at the last moment.
        """
        return self._finish(job, self.files.publish(job.id, job.attempts), seconds)

    def _finish(self, job: Job, results: tuple[ResultFile, ...], seconds: Mapping[str, float]) -> bool:
        if not self.records.finish(job.id, results, seconds):
            now = self.records.get(job.id)
            if (
                now is None or now.state is not JobState.DONE
            ):  # done: recorded by an earlier call that failed afterwards
                self.files.remove(job.id)  # cancelled at the last moment
                return False
        for stage, value in seconds.items():
            self.metrics.stages.labels(stage).observe(value)
        self._report_end(job, JobState.DONE)
        return True

    def fail(self, job: Job, kind: str, detail: str) -> None:
        """Fail a job. Called by the supervisor."""
        if self.records.fail(job.id, make_problem_body(kind, detail)):
            self.metrics.failures.labels(kind).inc()
            self._report_end(job, JobState.FAILED, kind=kind)

    def _report_end(self, job: Job, state: JobState, **values: str) -> None:
        self.notifications.notify(job.id)
        self.metrics.jobs.labels(state.value).inc()
        took_s = time.time() - (job.started or time.time())
        if state is JobState.DONE and job.training is None:
            self.metrics.stages.labels("whole").observe(max(0.0, took_s))
            self.typical_s = 0.7 * self.typical_s + 0.3 * took_s
        log("job_ended", job=job.id, state=state.value, seconds=round(took_s, 3), **values)
        self._clear(job)

    def _clear(self, job: Job) -> None:
        """Remove files that an ended job no longer needs."""
        self.files.clear_attempts(job.id)
        if not job.keep_upload:
            self.files.drop_upload(job.id)

    def verified(self, job: Job, name: str) -> Path:
        """Return the path of a result after checking its hash. Fails the job if it differs.

        Raises:
            Problem: the file is missing or damaged, or the job was deleted during the check.
        """
        file, path = job.result(name), self.files.result(job.id) / name
        if file is not None and self.files.matches(path, file):
            return path
        if self.records.get(job.id) is None:
            raise make_not_found_error()
        detail = "A result of this job is damaged or missing on the service's disk. Submit the case again."
        if self.records.mark_damaged(job.id, make_problem_body("damaged", detail)):
            self.metrics.failures.labels("damaged").inc()
            log("result_damaged", level="error", job=job.id)
            self.notifications.notify(job.id)
        raise Problem("damaged", detail)

    def verify(self, job: Job) -> None:
        """Check every result of a job.

        Raises:
            Problem: a result is missing or damaged.
        """
        for file in job.results:
            self.verified(job, file.name)

    def count_used_bytes(self, owner: str) -> int:
        """Return the disk space of a caller's jobs in bytes."""
        return sum(self.files.count_used_bytes(job_id) for job_id in self.records.ids(owner))

    def release(self, job: Job) -> None:
        """Record that the files of an attempt are no longer used. Called by the supervisor."""
        self._progress.pop(job.id, None)
        try:
            if self.is_cancelled(job.id):
                self.files.clear_attempt(job.id, job.attempts)
        except (sqlite3.Error, OSError) as error:
            log("release_error", level="error", job=job.id, error=type(error).__name__)
        finally:
            with self._idle:
                self._at_work.discard((job.id, job.attempts))
                self._idle.notify_all()

    def requeue(self, job: Job) -> None:
        """Return a job to the queue on an orderly shutdown. The attempt does not count. Called by the supervisor."""
        self.files.clear_attempts(job.id)
        self.records.requeue(job.id, attempts=job.attempts - 1)
        self.notifications.notify(job.id)

    def retry(self, job: Job, kind: str, detail: str) -> None:
        """Retry a job after a failure that it did not cause, or fail it after the last attempt.

        Called by the supervisor.
        """
        if job.attempts >= self.limits.attempts:
            self.fail(job, kind, detail)
            return
        self.files.clear_attempts(job.id)
        if self.records.requeue(job.id):
            log("job_requeued", job=job.id, attempts=job.attempts)
            self.notifications.notify(job.id)
            self.wake.set()

    def recover(self) -> None:
        """Settle jobs that were open when the service ended, and remove orphaned files."""
        self.files.clean(self.records.ids())
        for job in self.records.list_in_states(list(JobState)):
            self._recover(job)

    def _recover(self, job: Job) -> None:
        if job.state is JobState.RUNNING:
            if self.files.result(job.id).is_dir():
                self._finish(
                    job, build_manifest(self.files.result(job.id)), {}
                )  # the result was published before the service ended
            else:
                often = f"The service was interrupted {job.attempts} times while the job ran."
                self.retry(job, "interrupted", often)
        elif job.state in (JobState.CANCELLED, JobState.EXPIRED):
            self.files.remove(job.id)
        elif job.state in (JobState.DONE, JobState.FAILED):
            self._clear(job)

    def sweep(self, now: Callable[[], float] = time.time) -> None:
        """Expire results and records, and settle running jobs without a worker."""
        self._finish_removals()
        with self._idle:
            at_work = dict(self._at_work)
            lost = [job for job in self.records.list_in_states([JobState.RUNNING]) if job.id not in at_work]
        for job in lost:
            log("job_lost", level="error", job=job.id)
            self._recover(job)
        self.files.clean_orphans(self.records.ids())
        for job in self.records.list_in_states([state for state in JobState if state not in OPEN]):
            age_s = now() - (job.finished or job.created)
            if job.state in (JobState.DONE, JobState.FAILED) and age_s > self._retention.result_s:
                self.records.expire(job.id)
                self.notifications.notify(job.id)
                self.files.remove(job.id)
                log("job_expired", job=job.id)
                self.records.erase()
            elif age_s > self._retention.result_s + self._retention.record_s:
                self.records.delete(job.id)
                self.files.remove(job.id)
