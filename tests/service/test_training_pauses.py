"""A training waits for segmentations and pauses while one is waiting or running, with a fake worker."""

import threading
import time

import pytest

from brats_mm.errors import Cancelled
from brats_mm.learning.versions import ModelVersions
from brats_mm_service.database import Database
from brats_mm_service.jobs.files import JobFiles
from brats_mm_service.jobs.model import DEFAULT_REQUEST, NewJob
from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.records import JobRecords
from brats_mm_service.metrics import Metrics
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
    trainer._tick(worker)
    assert worker.heard == []
    job = submit(queue, "segment")
    trainer._tick(worker)
    trainer._tick(worker)
    queue.take()
    trainer._tick(worker)
    assert worker.heard == ["pause"]
    queue.fail(job, "internal", "Over.")
    trainer._tick(worker)
    assert worker.heard == ["pause", "resume"]


def test_training_does_not_pause_when_it_may_run_in_parallel(queue, tmp_path):
    trainer, worker = supervisor(queue, tmp_path, beside=True), Listener()
    submit(queue, "segment")
    trainer._tick(worker)
    assert worker.heard == []


def test_segmentations_and_trainings_have_separate_supervisors(queue):
    submit(queue, "train", PLAN)
    assert queue.take() is None
    submit(queue, "segment")
    assert (queue.take().id, queue.take()) == ("segment", None)
    taken = queue.take(training=True)
    assert (taken.id, dict(taken.training)) == ("train", PLAN)
    assert queue.take(training=True) is None


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
