"""A training job waits for segmentations and pauses while one is waiting or running, with a fake worker."""

import errno
import sqlite3
import threading
import time

import pytest

from brats_mm.errors import Cancelled
from brats_mm.learning.versions import BUNDLE, ModelVersions
from brats_mm_service.database import Database
from brats_mm_service.jobs.files import JobFiles
from brats_mm_service.jobs.model import DEFAULT_REQUEST, NewJob
from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.records import JobRecords
from brats_mm_service.jobs.states import JobState
from brats_mm_service.metrics import Metrics
from brats_mm_service.problems import make_problem_body
from brats_mm_service.settings import QueueLimits, Retention, WorkerSettings
from brats_mm_service.workers.inference import Commands
from brats_mm_service.workers.training_supervisor import TrainingSupervisor


class Listener:
    """A worker that only records its commands."""

    def __init__(self):
        self.heard = []

    def send(self, command):
        self.heard.append(command["command"])


@pytest.fixture
def queue(tmp_path):
    database = Database(tmp_path / "records.sqlite3")
    yield JobQueue(JobRecords(database), JobFiles(tmp_path), QueueLimits(), Retention(), Metrics())
    database.close()


def submit(queue, name, training=None):
    return queue.submit(NewJob(name, "ann", DEFAULT_REQUEST, {}, training=training), queue.files.incoming())[0]


def supervisor(queue, tmp_path, **options):
    return TrainingSupervisor(
        queue, WorkerSettings(), lambda bundle: None, ModelVersions(tmp_path / "models"), **options
    )


PLAN = {"version": "1.0+site.1", "parent": "base", "minutes": 1.0}


def test_training_pauses_while_segmentation_waits_or_runs(queue, tmp_path):
    trainer, worker = supervisor(queue, tmp_path), Listener()
    submit(queue, "train", PLAN)
    trainer._check_worker(worker)
    assert worker.heard == []
    job = submit(queue, "segment")
    trainer._check_worker(worker)
    trainer._check_worker(worker)
    queue.take()
    trainer._check_worker(worker)
    assert worker.heard == ["pause"]
    queue.fail(job, "internal", "Over.")
    trainer._check_worker(worker)
    assert worker.heard == ["pause", "resume"]


def test_training_goes_on_while_records_cannot_be_read(queue, tmp_path, monkeypatch):
    trainer, worker = supervisor(queue, tmp_path), Listener()
    submit(queue, "segment")

    def locked():
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as outage:
        outage.setattr(queue.records, "has_segmentations", locked)
        trainer._check_worker(worker)
        assert worker.heard == []
    trainer._check_worker(worker)
    assert worker.heard == ["pause"]


def test_training_does_not_pause_when_it_may_run_in_parallel(queue, tmp_path):
    trainer, worker = supervisor(queue, tmp_path, beside=True), Listener()
    submit(queue, "segment")
    trainer._check_worker(worker)
    assert worker.heard == []


def test_segmentations_and_trainings_have_separate_supervisors(queue):
    submit(queue, "train", PLAN)
    assert queue.take() is None
    submit(queue, "segment")
    assert (queue.take().id, queue.take()) == ("segment", None)
    taken = queue.take(training=True)
    assert (taken.id, dict(taken.training)) == ("train", PLAN)
    assert queue.take(training=True) is None


def running(queue, name="train"):
    """Return a running training job that has written its output."""
    submit(queue, name, PLAN)
    job = queue.take(training=True)
    attempt = queue.files.attempt(job.id, job.attempts)
    (attempt / BUNDLE).mkdir(parents=True)
    for place in (attempt, attempt / BUNDLE):
        (place / "training.json").write_text("{}")
    return job


def names(tmp_path):
    return ModelVersions(tmp_path / "models").names()


def end(trainer, job):
    trainer._settle(job, lambda: trainer._finish(job, {}))
    trainer._queue.release(job)


def test_finished_training_gives_version(queue, tmp_path):
    job = running(queue)
    end(supervisor(queue, tmp_path), job)
    assert queue.records.get("train").state is JobState.DONE
    assert names(tmp_path) == ["1.0+site.1"]


def test_training_cancelled_at_its_end_leaves_no_version(queue, tmp_path):
    job = running(queue)
    queue.records.cancel("train")
    end(supervisor(queue, tmp_path), job)
    assert queue.records.get("train").state is JobState.CANCELLED
    assert names(tmp_path) == []
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("deletions", [1, 2])
def test_training_deleted_while_its_version_is_adopted_leaves_no_version(queue, tmp_path, monkeypatch, deletions):
    job, trainer, adopt = running(queue), supervisor(queue, tmp_path), ModelVersions.adopt
    monkeypatch.setattr("brats_mm_service.jobs.queue._CANCEL_WAIT_S", 0.01)

    def adopting(*values):
        adopt(*values)
        for _ in range(deletions):  # the first cancels, the second deletes the record
            queue.remove(queue.records.get("train"))

    monkeypatch.setattr(ModelVersions, "adopt", adopting)
    end(trainer, job)
    assert names(tmp_path) == []
    assert not (tmp_path / "jobs" / "train").exists()


def test_full_disk_while_version_is_adopted_fails_the_training(queue, tmp_path, monkeypatch):
    job = running(queue)

    def full(path):
        if path == tmp_path / "models":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("brats_mm.learning.versions.sync", full)
    end(supervisor(queue, tmp_path), job)
    assert queue.records.get("train").error["type"].endswith(":disk-full")
    assert names(tmp_path) == []


def test_version_survives_records_that_cannot_be_written(queue, tmp_path, monkeypatch):
    job, finish, faults = running(queue), queue.records.finish, [sqlite3.OperationalError("database is locked")]

    def finishing(*values):
        if faults:
            raise faults.pop()
        return finish(*values)

    monkeypatch.setattr(queue.records, "finish", finishing)
    end(supervisor(queue, tmp_path), job)
    assert queue.records.get("train").state is JobState.DONE
    assert names(tmp_path) == ["1.0+site.1"]


@pytest.mark.parametrize("ended", ["done", "damaged", "cancelled", "failed", "queued"])
def test_start_removes_versions_of_unfinished_trainings(queue, tmp_path, ended):
    """Service and disk can fail after a version was adopted and before its training is done."""
    job, trainer = running(queue), supervisor(queue, tmp_path)
    if ended in ("done", "damaged"):
        end(trainer, job)
        if ended == "damaged":
            queue.records.mark_damaged("train", make_problem_body("damaged", "Damaged."))
    else:
        trainer._models.adopt(queue.files.attempt("train", 1) / BUNDLE, PLAN["version"])
        if ended == "cancelled":
            queue.records.cancel("train")
        elif ended == "failed":
            queue.fail(job, "interrupted", "Over.")
        else:
            queue.requeue(job)
    trainer.discard_unfinished()
    assert names(tmp_path) == (["1.0+site.1"] if ended in ("done", "damaged") else [])


def test_paused_computation_stops_at_next_check_and_pause_is_counted():
    commands, passed = Commands(), threading.Event()
    commands.put({"command": "train", "job": "a"})
    commands.next()
    commands.put({"command": "pause"})

    def compute():
        commands.check()
        passed.set()

    thread = threading.Thread(target=compute)
    thread.start()
    assert not passed.wait(0.2)
    commands.put({"command": "resume"})
    thread.join(60)
    assert passed.is_set()
    assert commands.paused_s >= 0.2
    before = commands.paused_s
    time.sleep(0.01)
    assert commands.paused_s == before


def test_paused_training_can_be_cancelled():
    commands = Commands()
    commands.put({"command": "train", "job": "a"})
    commands.next()
    commands.put({"command": "pause"})
    commands.put({"command": "cancel", "job": "a"})
    with pytest.raises(Cancelled):
        commands.check()
