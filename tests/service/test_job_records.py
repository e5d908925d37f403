"""Records, states and files of jobs without HTTP, and their recovery after a restart."""

import shutil
import sqlite3
import threading
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from brats_mm_service.database import Database
from brats_mm_service.jobs.fairness import compute_fair_order
from brats_mm_service.jobs.files import JobFiles
from brats_mm_service.jobs.model import DEFAULT_REQUEST, NewJob
from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.records import JobRecords, QueueFull
from brats_mm_service.jobs.states import TRANSITIONS, JobState, list_source_states
from brats_mm_service.metrics import Metrics
from brats_mm_service.settings import QueueLimits, Retention


@pytest.fixture
def reopened(tmp_path):
    """A function that opens the queue like a new process."""
    with ExitStack() as databases:

        def reopen(**limits):
            database = databases.enter_context(closing(Database(tmp_path / "records.sqlite3")))
            return JobQueue(JobRecords(database), JobFiles(tmp_path), QueueLimits(**limits), Retention(), Metrics())

        yield reopen


@pytest.fixture
def queue(reopened):
    return reopened()


def submitted(queue, job_id, owner="ann", **changes):
    incoming = queue.files.incoming()
    (incoming / "t1.nii.gz").write_bytes(b"x")
    new = NewJob(job_id, owner, DEFAULT_REQUEST, {"t1": "t1.nii.gz"}, fingerprint="f")
    return queue.submit(replace(new, **changes), incoming)


def written(queue, job):
    """Write the output of a worker."""
    folder = queue.files.attempt(job.id, job.attempts)
    folder.mkdir()
    (folder / "report.json").write_text("{}")


def test_final_state_never_changes():
    ends = {JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
    for state in ends:
        lost_results = {JobState.FAILED} if state is JobState.DONE else set()
        assert TRANSITIONS[state] <= {JobState.EXPIRED} | lost_results
    assert set(list_source_states(JobState.DONE)) == {JobState.RUNNING}
    assert set(list_source_states(JobState.CANCELLED)) == {JobState.QUEUED, JobState.RUNNING}


def test_callers_take_turns():
    waiting = [("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob"), ("c1", "cy")]
    assert compute_fair_order(waiting, {"ann": 5.0, "bob": 3.0}) == ["c1", "b1", "a1", "a2", "a3"]
    assert compute_fair_order(waiting, {}) == ["a1", "b1", "c1", "a2", "a3"]


def test_caller_with_many_jobs_delays_others_by_one_job(queue):
    for number in range(3):
        submitted(queue, f"a{number}")
    submitted(queue, "b0", owner="bob")
    assert [queue.take().id for _ in range(4)] == ["a0", "b0", "a1", "a2"]


def test_invalid_transition_changes_nothing(queue):
    submitted(queue, "one")
    assert not queue.records.finish("one", [], {})
    assert queue.records.cancel("one")
    assert not queue.records.fail("one", {})
    assert queue.records.get("one").state is JobState.CANCELLED


def test_idempotency_key_identifies_one_job(queue):
    first, new = submitted(queue, "one", key="k")
    second, again = submitted(queue, "two", key="k")
    assert (new, again, first.id, second.id) == (True, False, "one", "one")
    assert not (queue.files.root / "jobs" / "two").exists()
    assert submitted(queue, "three", owner="bob", key="k")[1]


def test_text_of_idempotency_key_is_not_stored(queue):
    submitted(queue, "one", key="Quetzalcoatl-Smith 1970-01-01")
    assert queue.records.find_by_key("ann", "Quetzalcoatl-Smith 1970-01-01").id == "one"
    assert queue.records.find_by_key("bob", "Quetzalcoatl-Smith 1970-01-01") is None
    assert [path for path in queue.files.root.glob("records*") if b"Quetzalcoatl" in path.read_bytes()] == []


def test_waiting_jobs_are_limited_in_total_and_per_caller(reopened, tmp_path):
    queue = reopened(queued=3, queued_per_caller=2)
    submitted(queue, "a1")
    submitted(queue, "a2")
    with pytest.raises(QueueFull, match="You already have 2 waiting jobs"):
        submitted(queue, "a3")
    submitted(queue, "b1", owner="bob")
    with pytest.raises(QueueFull, match="The queue is full: 3 jobs"):
        submitted(queue, "c1", owner="cy")
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == {"a1", "a2", "b1"}


def test_running_job_restarts_after_kill(queue, reopened):
    submitted(queue, "one")
    job = queue.take()
    written(queue, job)
    again = reopened()
    again.recover()
    assert again.records.get("one").state is JobState.QUEUED
    assert not again.files.attempt("one", 1).exists()
    assert again.take().attempts == 2


def test_result_published_before_kill_is_kept(queue, reopened):
    submitted(queue, "one")
    job = queue.take()
    written(queue, job)
    queue.files.publish("one", 1)
    again = reopened()
    again.recover()
    result = again.records.get("one")
    assert (result.state, [file.name for file in result.results]) == (JobState.DONE, ["report.json"])
    assert not again.files.upload("one").exists()


def test_repeatedly_interrupted_job_fails_with_reason(reopened):
    submitted(reopened(), "one")
    for _ in range(3):
        queue = reopened()
        queue.recover()
        assert queue.take().id == "one"
    queue = reopened()
    queue.recover()
    job = queue.records.get("one")
    assert job.state is JobState.FAILED
    assert job.error["detail"] == "The service was interrupted 3 times while the job ran."


def test_orderly_stop_does_not_count_as_attempt(queue):
    submitted(queue, "one")
    queue.requeue(queue.take())
    assert queue.records.get("one").attempts == 0


def test_unaccepted_uploads_are_removed_at_next_start(queue, reopened, tmp_path):
    queue.files.incoming()
    stray = queue.files.incoming()
    queue.files.adopt(stray, "never-recorded")
    reopened().recover()
    assert [list((tmp_path / name).iterdir()) for name in ("incoming", "jobs", "trash")] == [[], [], []]


def test_job_cancelled_at_last_moment_leaves_no_result(queue):
    submitted(queue, "one")
    job = queue.take()
    written(queue, job)
    queue.records.cancel("one")
    queue.finish(job, {})
    assert not (queue.files.root / "jobs" / "one").exists()


def test_retention_deletes_results_then_records(queue):
    submitted(queue, "one")
    job = queue.take()
    written(queue, job)
    queue.finish(job, {"read": 1.0})
    ended = queue.records.get("one").finished
    queue.sweep(lambda: ended + 24 * 3600 - 1)
    assert queue.records.get("one").state is JobState.DONE
    queue.sweep(lambda: ended + 24 * 3600 + 1)
    assert queue.records.get("one").state is JobState.EXPIRED
    assert not queue.files.result("one").exists()
    queue.sweep(lambda: ended + 9 * 24 * 3600)
    assert queue.records.get("one") is None


def test_deleted_record_leaves_no_trace_in_file(queue, tmp_path):
    submitted(queue, "one", ignored={"Doe^Jane.pdf": "it is not an image"})
    queue.remove(queue.records.get("one"))
    queue.records._database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"Doe^Jane" not in (tmp_path / "records.sqlite3").read_bytes()


def test_full_disk_while_accepting_leaves_nothing(queue, monkeypatch):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(queue.records, "add", full)
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        submitted(queue, "one")
    assert not list((queue.files.root / "jobs").iterdir())
    assert not list((queue.files.root / "incoming").iterdir())


def test_upload_is_on_disk_before_job_is_accepted(queue, monkeypatch):
    from brats_mm_service.jobs import files

    done, sync, add = [], files.sync, queue.records.add
    monkeypatch.setattr(files, "sync", lambda path: (done.append(path.name), sync(path)))
    monkeypatch.setattr(queue.records, "add", lambda *arguments: (done.append("accepted"), add(*arguments))[1])
    submitted(queue, "one")
    assert done[-1] == "accepted"
    assert {"t1.nii.gz", "one", "jobs"} <= set(done), "the file, its folder, and the folder of all jobs"


def test_removal_waits_for_removal_in_other_thread(queue, monkeypatch):
    """Otherwise, files of a deleted job would remain on the disk for a moment."""
    submitted(queue, "one")
    real, begun, go_on = shutil.rmtree, threading.Event(), threading.Event()

    def slow(folder, **options):
        if threading.current_thread() is dropping:
            begun.set()
            go_on.wait(600)
        real(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", slow)
    dropping = threading.Thread(target=queue.files.drop_upload, args=("one",))
    dropping.start()
    assert begun.wait(600)
    queue.files.remove("one")
    assert list((queue.files.root / "trash").iterdir()) == []
    go_on.set()
    dropping.join()
