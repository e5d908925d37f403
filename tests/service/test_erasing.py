"""Deleted rows are neither in the records file nor in its write-ahead log."""

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing

import pytest

from brats_mm_service.database import Database
from brats_mm_service.jobs.model import DEFAULT_REQUEST, NewJob
from brats_mm_service.jobs.records import JobRecords
from brats_mm_service.settings import QueueLimits
from tests.fakes.serving import ended, serving, small_settings, two_files, until

CANARY = "Quetzalcoatl"
CHANGES = int(os.environ.get("BRATS_MM_ERASED_ROWS", "200"))


def held_by(folder, text=CANARY):
    """Return the names of the files of a folder that contain a text."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and text.encode() in path.read_bytes())


def new_job(name, number=0):
    return NewJob(f"job-{number}", "local", DEFAULT_REQUEST, {"t1": "t1.nii.gz"}, names={"t1": name}, fingerprint="f")


@pytest.fixture
def database(tmp_path):
    result = Database(tmp_path / "records.sqlite3")
    yield result
    result.close()


def reading(folder):
    """Return the connection of another program that reads the records until it is closed."""
    other = sqlite3.connect(folder / "records.sqlite3", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT COUNT(*) FROM jobs").fetchone()
    return closing(other)


@pytest.mark.parametrize("stored", ["in the file", "in the log"])
def test_reader_of_records_only_delays_erasure(tmp_path, database, stored):
    records = JobRecords(database)
    records.add(new_job(CANARY), QueueLimits())
    if stored == "in the file":
        assert database.erase_log()
        assert held_by(tmp_path) == ["records.sqlite3"]
    with reading(tmp_path):
        assert records.cancel("job-0")
        start = time.monotonic()
        records.delete("job-0")
        assert not database.erase_log()
        assert held_by(tmp_path), "the other program can still read it"
        waited_s = time.monotonic() - start
    assert database.erase_log()
    print(f"{stored}: {waited_s:.1f} s for a deletion and an attempt while another program reads")  # noqa: T201
    assert held_by(tmp_path) == []


def test_service_killed_before_erasure_erases_at_next_start(tmp_path, database):
    records = JobRecords(database)
    records.add(new_job(CANARY), QueueLimits())
    assert database.erase_log()
    with database.writing() as connection:
        connection.execute("DELETE FROM jobs")
    killed = tmp_path / "killed"
    killed.mkdir()
    for path in tmp_path.glob("records.sqlite3*"):
        shutil.copy(path, killed)
    assert held_by(killed)
    Database(killed / "records.sqlite3").close()
    assert held_by(killed) == []


@pytest.mark.slow
def test_no_database_page_keeps_deleted_row(tmp_path, database):
    """Rows of one byte to several pages, which split, merge and free pages."""
    draw = random.Random(0)
    records, kept, deleted = JobRecords(database), {}, set()
    for number in range(CHANGES):
        name = f"{CANARY}-{number:06d}-"
        records.add(new_job(name * draw.choice([1, 2, 5, 20, 60, 600]), number), QueueLimits(10**6, 10**6))
        kept[number] = name
        if draw.random() < 0.5:
            records.fail(f"job-{draw.choice(list(kept))}", {"detail": name * draw.choice([1, 30, 300])})
        if draw.random() < 0.7:
            gone = draw.choice(list(kept))
            with database.writing() as connection:
                connection.execute("DELETE FROM jobs WHERE id = ?", (f"job-{gone}",))
            deleted.add(gone)
            kept.pop(gone)
    with database.writing() as connection:
        connection.execute("UPDATE jobs SET error = NULL")  # these quote the names of other jobs
    assert database.erase_log()
    content = (tmp_path / "records.sqlite3").read_bytes()
    found = [number for number in deleted if f"{CANARY}-{number:06d}-".encode() in content]
    print(f"{len(deleted)} of {CHANGES} rows deleted, {len(found)} found in {len(content):,} bytes")  # noqa: T201
    assert deleted
    assert found == []
    assert all(f"{name}".encode() in content for name in kept.values())


@pytest.mark.parametrize("deleted", ["job", "image"])
def test_image_name_is_erased_with_its_job_or_image(tmp_path, made_head, deleted):
    volume = (made_head / "BraTS-GLI-00000-000-t1c.nii.gz").read_bytes()
    with serving(small_settings(tmp_path)) as client:
        client.put(f"/datastore/image?image={CANARY}", files={"file": ("t1ce.nii.gz", volume)})
        job = client.post("/v1/jobs", files=two_files(made_head)).json()["id"]
        ended(client, job)
        client.service.predictions.note("local", CANARY, job)
        assert client.service.predictions.find_job("local", CANARY) == job
        if deleted == "job":
            client.delete(f"/v1/jobs/{job}")
        else:
            client.delete(f"/datastore/image?id={CANARY}")
        assert client.service.predictions.find_job("local", CANARY) is None
        until(lambda: held_by(tmp_path) == [])


def test_prediction_of_deleted_job_is_not_recorded(tmp_path):
    with serving(small_settings(tmp_path)) as client:
        client.service.predictions.note("local", CANARY, "deleted")
        assert client.service.predictions.find_job("local", CANARY) is None
        assert held_by(tmp_path) == []


def test_sweep_removes_leftovers_of_interrupted_deletions(tmp_path):
    (tmp_path / "corrections" / "owner" / "half-deleted").mkdir(parents=True)
    (tmp_path / "corrections" / "owner" / "half-deleted" / "t1.nii.gz").write_text(CANARY)
    with serving(small_settings(tmp_path)):
        (tmp_path / "trash" / "job.1").mkdir()
        (tmp_path / "trash" / "job.1" / "t1.nii.gz").write_text(CANARY)
        until(lambda: not (tmp_path / "trash" / "job.1").exists())
        until(lambda: not (tmp_path / "corrections" / "owner" / "half-deleted").exists())
