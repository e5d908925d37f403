"""Records of jobs. `states` defines the allowed transitions, and each runs in one transaction."""

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from brats_mm.pipeline.request import from_json, to_json
from brats_mm_service.database import Database, hash_key
from brats_mm_service.jobs.fairness import compute_fair_order
from brats_mm_service.jobs.model import Job, NewJob, ResultFile
from brats_mm_service.jobs.states import OPEN, JobState, list_source_states
from brats_mm_service.settings import QueueLimits

_WITHOUT_NAMES: dict[str, Any] = {"ignored": "{}", "notes": "[]", "names": "{}"}
"""Columns with file names and series descriptions, which may contain patient names."""

_PLAIN = ("id", "owner", "created", "started", "finished", "attempts", "fingerprint")
_JSON = ("sequences", "ignored", "notes", "names", "error", "results", "seconds", "training")
"""Columns that a job takes as stored, and those that are JSON."""


class QueueFull(Exception):  # noqa: N818 (a state of the queue)
    """No more jobs are accepted at the moment. The message states the limit."""


class JobRecords:
    """Jobs in the database."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def add(self, new: NewJob, limits: QueueLimits) -> tuple[Job, bool]:
        """Accept a job, or return the earlier job with the same caller and key.

        Returns:
            The job, and whether it is new.

        Raises:
            QueueFull: too many jobs are waiting.
        """
        with self._database.writing() as connection:
            if new.key is not None and (earlier := self._find_by_key(connection, new.owner, new.key)) is not None:
                return earlier, False
            _check_room(connection, new.owner, limits)
            values = {
                **{name: json.dumps(getattr(new, name)) for name in ("sequences", "ignored", "notes", "names")},
                "id": new.id,
                "owner": new.owner,
                "state": JobState.QUEUED.value,
                "created": self._now(),
                "options": json.dumps({**to_json(new.request), "keep_upload": new.keep_upload}),
                "key": None if new.key is None else hash_key(new.owner, new.key),
                "fingerprint": new.fingerprint,
                "training": None if new.training is None else json.dumps(new.training),
            }
            columns, marks = ", ".join(values), ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({marks})", tuple(values.values()))
            # Read before the commit, because a failure afterwards would report an accepted job as rejected.
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", (new.id,)).fetchone()
        return _to_job(row), True

    def check_room(self, owner: str, limits: QueueLimits) -> None:
        """Raise QueueFull if a job of a caller would not be accepted now."""
        _check_room(self._database.connection(), owner, limits)

    def get(self, job_id: str) -> Job | None:
        """Return the record of a job."""
        rows = self._database.read("SELECT * FROM jobs WHERE id = ?", job_id)
        return _to_job(rows[0]) if rows else None

    def find_by_key(self, owner: str, key: str) -> Job | None:
        """Return the job of a caller's Idempotency-Key."""
        return self._find_by_key(self._database.connection(), owner, key)

    @staticmethod
    def _find_by_key(connection: sqlite3.Connection, owner: str, key: str) -> Job | None:
        digest = hash_key(owner, key)
        row = connection.execute("SELECT * FROM jobs WHERE owner = ? AND key = ?", (owner, digest)).fetchone()
        return None if row is None else _to_job(row)

    def page(self, owner: str, *, before: int | None, size: int) -> tuple[list[Job], int | None]:
        """Return a page of a caller's jobs, newest first, and the start of the next page.

        Args:
            owner: the caller.
            before: serial number that ends the page. None starts with the newest job.
            size: maximum number of jobs.
        """
        query = "SELECT * FROM jobs WHERE owner = ? AND serial < ? ORDER BY serial DESC LIMIT ?"
        rows = self._database.read(query, owner, 2**62 if before is None else before, size + 1)
        more = rows[size - 1]["serial"] if len(rows) > size else None
        return [_to_job(row) for row in rows[:size]], more

    def list_in_states(self, states: Collection[JobState]) -> list[Job]:
        """Return all jobs in these states, oldest first."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT * FROM jobs WHERE state IN ({marks}) ORDER BY serial"
        return [_to_job(row) for row in self._database.read(query, *(state.value for state in states))]

    def ids(self, owner: str | None = None) -> set[str]:
        """Return the IDs of all jobs, or of one caller's jobs."""
        return {row["id"] for row in self._database.read("SELECT id FROM jobs WHERE owner = COALESCE(?, owner)", owner)}

    def counts(self) -> dict[JobState, int]:
        """Return the number of jobs in each state."""
        rows = self._database.read("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")
        return dict.fromkeys(JobState, 0) | {JobState(row["state"]): row["n"] for row in rows}

    def waiting(self) -> list[str]:
        """Return the IDs of waiting segmentations in the order in which they will run."""
        return _list_waiting(self._database.connection())

    def trainings(self, states: Collection[JobState] = tuple(JobState)) -> list[Job]:
        """Return the training jobs in these states, oldest first."""
        return [job for job in self.list_in_states(states) if job.training is not None]

    def has_segmentations(self) -> bool:
        """Return whether a segmentation waits or runs."""
        states = [state.value for state in OPEN]
        marks = ", ".join("?" * len(states))
        query = f"SELECT EXISTS (SELECT 1 FROM jobs WHERE state IN ({marks}) AND training IS NULL)"
        return bool(self._database.read(query, *states)[0][0])

    def start_next(self, *, training: bool = False) -> Job | None:
        """Move the next segmentation or training to running, and return it, or None if no such job waits."""
        with self._database.writing() as connection:
            order = _list_waiting(connection, training=training)
            if not order:
                return None
            now = self._now()
            connection.execute(
                "UPDATE jobs SET state = ?, started = ?, attempts = attempts + 1 WHERE id = ?",
                (JobState.RUNNING.value, now, order[0]),
            )
            connection.execute(
                "INSERT INTO served (owner, at) SELECT owner, ? FROM jobs WHERE id = ?"
                " ON CONFLICT (owner) DO UPDATE SET at = excluded.at",
                (now, order[0]),
            )
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", (order[0],)).fetchone()
        return _to_job(row)

    def finish(self, job_id: str, results: Sequence[ResultFile], seconds: Mapping[str, float]) -> bool:
        """Move a job to done. Return False if it is no longer running."""
        return self._move(
            job_id,
            JobState.DONE,
            finished=self._now(),
            results=json.dumps([asdict(file) for file in results]),
            seconds=json.dumps(dict(seconds)),
        )

    def fail(self, job_id: str, error: Mapping[str, Any]) -> bool:
        """Move an open job to failed with a reason. Return False if it has already ended."""
        return self._move(job_id, JobState.FAILED, OPEN, finished=self._now(), error=json.dumps(dict(error)))

    def mark_damaged(self, job_id: str, error: Mapping[str, Any]) -> bool:
        """Move a job from done to failed because its results have changed."""
        return self._move(job_id, JobState.FAILED, {JobState.DONE}, error=json.dumps(dict(error)), results="[]")

    def cancel(self, job_id: str) -> bool:
        """Move a job to cancelled. Return False if it has already ended."""
        return self._move(job_id, JobState.CANCELLED, (), finished=self._now(), **_WITHOUT_NAMES)

    def expire(self, job_id: str) -> bool:
        """Move a job to expired, and delete its files and all file names."""
        return self._move(job_id, JobState.EXPIRED, (), results="[]", error=None, **_WITHOUT_NAMES)

    def requeue(self, job_id: str, **values: int) -> bool:
        """Move an interrupted job back to its place in the queue."""
        return self._move(job_id, JobState.QUEUED, (), started=None, **values)

    def delete(self, job_id: str) -> None:
        """Delete the record of a job that has ended."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM jobs WHERE id = ? AND state NOT IN (?, ?)",
                (job_id, JobState.QUEUED.value, JobState.RUNNING.value),
            )
            connection.execute("UPDATE transfers SET detail = '' WHERE job = ?", (job_id,))
            _forget_image(connection, job_id)
        self.erase()

    def erase(self) -> None:
        """Remove deleted rows from the disk."""
        self._database.erase_log()

    def _move(self, job_id: str, target: JobState, from_states: Collection[JobState] = (), **values: object) -> bool:
        sources = tuple(from_states or list_source_states(target))
        columns = "".join(f", {name} = ?" for name in values)
        marks = ", ".join("?" * len(sources))
        with self._database.writing() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET state = ?{columns} WHERE id = ? AND state IN ({marks})",
                (target.value, *values.values(), job_id, *(state.value for state in sources)),
            )
            if target in (JobState.CANCELLED, JobState.EXPIRED):
                _forget_image(connection, job_id)
            return cursor.rowcount == 1


def _forget_image(connection: sqlite3.Connection, job_id: str) -> None:
    """Delete the link from an image to a job, because the name of an image can be that of a patient."""
    connection.execute("DELETE FROM predictions WHERE job = ?", (job_id,))


def _list_waiting(connection: sqlite3.Connection, *, training: bool = False) -> list[str]:
    rows = connection.execute(
        "SELECT id, owner FROM jobs WHERE state = ? AND (training IS NOT NULL) = ? ORDER BY serial",
        (JobState.QUEUED.value, training),
    ).fetchall()
    served = {row["owner"]: row["at"] for row in connection.execute("SELECT owner, at FROM served")} if rows else {}
    return compute_fair_order([(row["id"], row["owner"]) for row in rows], served)


def _check_room(connection: sqlite3.Connection, owner: str, limits: QueueLimits) -> None:
    row = connection.execute(
        "SELECT COUNT(*) AS every, COALESCE(SUM(owner = ?), 0) AS own FROM jobs WHERE state = ?",
        (owner, JobState.QUEUED.value),
    ).fetchone()
    if row["own"] >= limits.queued_per_caller:
        raise QueueFull(f"You already have {row['own']} waiting jobs, the maximum.")
    if row["every"] >= limits.queued:
        raise QueueFull(f"The queue is full: {row['every']} jobs are waiting.")


def _to_job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in _PLAIN}
    parsed: dict[str, Any] = {name: None if row[name] is None else json.loads(row[name]) for name in _JSON}
    options = json.loads(row["options"])
    keep_upload = options.pop("keep_upload")
    parsed["notes"] = tuple(parsed["notes"])
    parsed["results"] = tuple(ResultFile(**file) for file in parsed["results"])
    return Job(**values, **parsed, state=JobState(row["state"]), request=from_json(options), keep_upload=keep_upload)
