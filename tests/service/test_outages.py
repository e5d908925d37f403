"""Temporary failures to write records or files: every accepted job ends within a minute of recovery."""

import errno
import os
import secrets
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from brats_mm_service.jobs.files import JobFiles
from brats_mm_service.jobs.records import JobRecords
from brats_mm_service.service import open_database
from tests.fakes.serving import LONGEST_S, ended, serving, small_settings, two_files, until
from tests.fakes.step_gate import StepGate
from tests.fakes.stopwatch import stopwatch

pytestmark = pytest.mark.slow

OUTAGE_S = float(os.environ.get("BRATS_MM_OUTAGE_S", "1"))
RECORDS = (
    "start_next", "finish", "fail", "get", "cancel", "requeue", "list_in_states", "waiting", "add", "check_room", "find_by_key",
    "ids", "trainings", "has_segmentations", "counts", "page", "delete", "expire",
)  # fmt: skip
RARELY_CALLED = ("cancel", "requeue", "delete", "expire", "has_segmentations")
"""Calls that no job, request or sweep of this test makes. Other tests cause them: those below, and for the last one
`test_training_pauses`.
"""
WRITES = ("publish", "adopt", "clear_attempts", "clear_attempt", "drop_upload", "remove", "incoming")


class Outage:
    """Make a method fail during the outage, before or after its effect."""

    def __init__(self, monkeypatch, owner, name, error, *, after=False):
        self.on = False
        self.failed = 0
        real = getattr(owner, name)

        def failing(this, *values, **named):
            result = real(this, *values, **named) if self.on and after else None
            if self.on:
                self.failed += 1
                raise error()
            return real(this, *values, **named) if not after or result is None else result

        monkeypatch.setattr(owner, name, failing)


def locked():
    return sqlite3.OperationalError("database is locked")


def full():
    return OSError(errno.ENOSPC, "No space left on device")


def jobs_through(tmp_path, made_head, outage, behaviour=None, *, is_called=True):
    """Submit jobs before, during and after an outage. Return the seconds until all had ended, and their states.

    With `is_called`, the outage lasts at least until the method has failed once.
    """
    with serving(small_settings(tmp_path), behaviour=behaviour or {"steps": 3, "pause_s": 0.2}) as client:
        files = two_files(made_head)
        accepted = [client.post("/v1/jobs", files=files).json()["id"] for _ in range(2)]
        outage.on = True
        end = time.monotonic() + OUTAGE_S
        latest = end + LONGEST_S
        while time.monotonic() < end or (is_called and not outage.failed):
            assert time.monotonic() < latest, "nothing has called it"
            sent = client.post("/v1/jobs", files=files, headers={"Idempotency-Key": secrets.token_hex(8)})
            if sent.status_code == 202:
                accepted.append(sent.json()["id"])
            else:
                assert sent.status_code in (429, 500, 507), sent.text
                assert sent.json()["detail"].endswith(".")
            for method, path in (("DELETE", "/v1/jobs/unknown"), ("GET", "/v1/jobs"), ("GET", "/metrics")):
                assert client.request(method, path).status_code in (200, 404, 500, 507)
            time.sleep(0.2)
        outage.on = False
        with stopwatch(children=True) as watch:
            ends = [ended(client, job) for job in accepted]
        assert watch.own_s < 60
        for job in ends:
            if job["state"] == "done":
                assert client.get(f"/v1/jobs/{job['id']}/results/segmentation.nii.gz").status_code == 200
        return watch.own_s, [job["state"] for job in ends]


@pytest.mark.parametrize("name", RECORDS)
def test_every_accepted_job_ends_after_record_outage(tmp_path, made_head, monkeypatch, name):
    behaviour = {"steps": 3, "pause_s": 0.2, "fail": "bad-volume"} if name == "fail" else None
    outage = Outage(monkeypatch, JobRecords, name, locked)
    is_called = name not in RARELY_CALLED
    seconds, states = jobs_through(tmp_path, made_head, outage, behaviour, is_called=is_called)
    print(f"{name}: {outage.failed} calls failed, {len(states)} jobs ended within {seconds:.1f} s")  # noqa: T201
    assert set(states) <= {"done", "failed"}
    if name != "fail":
        assert set(states) == {"done"}


@pytest.mark.parametrize("name", ["finish", "start_next"])
def test_failure_after_write_loses_no_job(tmp_path, made_head, monkeypatch, name):
    outage = Outage(monkeypatch, JobRecords, name, locked, after=True)
    seconds, states = jobs_through(tmp_path, made_head, outage)
    print(f"{name}, written: {outage.failed} calls failed, {len(states)} jobs ended within {seconds:.1f} s")  # noqa: T201
    assert set(states) == {"done"}


@pytest.mark.parametrize("name", WRITES)
def test_every_accepted_job_ends_after_full_disk(tmp_path, made_head, monkeypatch, name):
    outage = Outage(monkeypatch, JobFiles, name, full)
    is_called = name in ("publish", "adopt", "incoming", "clear_attempts", "drop_upload")
    seconds, states = jobs_through(tmp_path, made_head, outage, is_called=is_called)
    print(f"{name}: {outage.failed} writes failed, {len(states)} jobs ended within {seconds:.1f} s")  # noqa: T201
    assert set(states) <= {"done", "failed"}


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (JobRecords, "cancel", locked),
        (JobRecords, "delete", locked),
        (JobFiles, "remove", full),
        (JobRecords, "erase", locked),
    ],
    ids=["cancel", "delete", "remove", "erase"],
)
@pytest.mark.parametrize("state", ["running", "done"])
def test_delete_during_outage_is_accepted_and_completed_later(
    tmp_path, made_head, monkeypatch, owner, name, error, state
):
    outage = Outage(monkeypatch, owner, name, error)
    gate = StepGate(tmp_path / "gate")
    if state == "done":
        gate.open(1)
    with serving(small_settings(tmp_path / "data"), behaviour={"steps": 1, **gate.behaviour}) as client:
        job = client.post("/v1/jobs", files=two_files(made_head)).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == state)
        outage.on = True
        first = client.delete(f"/v1/jobs/{job}")
        assert first.status_code in (204, 404, 500, 503, 507), first.text
        if first.status_code >= 500:
            assert first.json()["detail"].endswith(".")
        outage.on = False
        client.delete(f"/v1/jobs/{job}")
        start = time.monotonic()
        until(lambda: client.get(f"/v1/jobs/{job}").status_code == 404 or _is_cancelled(client, job))
        until(lambda: not (tmp_path / "data" / "jobs" / job).exists())
        print(f"{name}, {state}: {outage.failed} calls failed, gone {time.monotonic() - start:.1f} s after")  # noqa: T201
        after = client.post("/v1/jobs", files=two_files(made_head)).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{after}").json()["state"] in ("running", "done"))


def _is_cancelled(client, job):
    return client.get(f"/v1/jobs/{job}").json().get("state") == "cancelled"


def test_lost_job_is_requeued_after_outage(tmp_path, made_head, monkeypatch):
    outage = Outage(monkeypatch, JobRecords, "requeue", locked)
    gate = StepGate(tmp_path / "gate")
    with serving(small_settings(tmp_path / "data"), behaviour={"steps": 1, **gate.behaviour}) as client:
        files = two_files(made_head)
        first = client.post("/v1/jobs", files=files).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{first}").json()["state"] == "running")
        waiting = client.post("/v1/jobs", files=files).json()["id"]
        outage.on = True
        lost = client.service.queue.records.start_next()  # a job without a worker
        until(lambda: outage.failed)
        outage.on = False
        gate.open(1)
        job = ended(client, waiting)
    assert lost.id == waiting
    assert job["state"] == "done"


def test_results_expire_after_outage(tmp_path, made_head, monkeypatch):
    outage = Outage(monkeypatch, JobRecords, "expire", locked)
    settings = small_settings(tmp_path)
    settings = replace(settings, retention=replace(settings.retention, result_s=0.0))
    outage.on = True
    with serving(settings) as client:
        job = client.post("/v1/jobs", files=two_files(made_head)).json()["id"]
        until(lambda: outage.failed)
        assert client.get(f"/v1/jobs/{job}").json()["state"] == "done"
        outage.on = False
        until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "expired")
        until(lambda: not (tmp_path / "jobs" / job).exists())


def test_damaged_result_fails_its_job_after_outage(tmp_path, made_head, monkeypatch):
    outage = Outage(monkeypatch, JobRecords, "mark_damaged", locked)
    with serving(small_settings(tmp_path)) as client:
        job = ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])["id"]
        (tmp_path / "jobs" / job / "result" / "report.json").write_text("{}")
        outage.on = True
        assert client.get(f"/v1/jobs/{job}/results/report.json").status_code == 500
        outage.on = False
        assert client.get(f"/v1/jobs/{job}/results/report.json").status_code == 410
        assert client.get(f"/v1/jobs/{job}").json()["state"] == "failed"
        assert outage.failed == 1


def test_waits_for_lock_of_other_program(tmp_path, made_head):
    gate = StepGate(tmp_path / "gate")
    with serving(small_settings(tmp_path / "data"), behaviour={"steps": 1, **gate.behaviour}) as client:
        sent = client.post("/v1/jobs", files=two_files(made_head)).json()
        until(lambda: client.get(f"/v1/jobs/{sent['id']}").json()["state"] == "running")
        records = tmp_path / "data" / "records.sqlite3"
        with closing(sqlite3.connect(records, isolation_level=None, check_same_thread=False)) as with_lock:
            with_lock.execute("BEGIN IMMEDIATE")
            gate.open(1)
            released = threading.Event()

            def release():
                released.set()
                with_lock.execute("ROLLBACK")

            timer = threading.Timer(12, release)  # longer than the timeout of a connection
            timer.start()
            assert ended(client, sent["id"])["state"] == "done"
            assert released.is_set(), "the records were locked until then"
            timer.join()


def test_failed_transaction_leaves_connection_usable(tmp_path):
    database = open_database(tmp_path)
    insert = "INSERT INTO tokens (id, caller, digest, scopes, created) VALUES ('1', 'a', 'd', 's', 0)"

    def twice():
        with database.writing() as connection:
            connection.execute(insert)
            connection.execute(insert)

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    with database.writing() as connection:
        assert connection.execute("SELECT COUNT(*) FROM tokens").fetchone()[0] == 0
    database.close()
