"""Results are served only as recorded, and an interrupted deletion leaves nothing."""

import json

import pytest

from brats_mm_service.jobs.files import JobFiles
from brats_mm_service.jobs.states import JobState
from tests.fakes.serving import ended, serving, small_settings, two_files

NAME = "segmentation.nii.gz"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(small_settings(tmp_path_factory.mktemp("data"))) as client:
        yield client


@pytest.fixture
def job(client, made_head):
    return ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": flip,
    "a cut file": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a missing file": lambda path: path.unlink(),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", [NAME, "all.zip"])
def test_damaged_result_returns_410_and_fails_job(client, job, kind, name):
    address = f"/v1/jobs/{job['id']}/results"
    assert client.get(f"{address}/{NAME}").status_code == 200
    DAMAGE[kind](client.service.queue.files.result(job["id"]) / NAME)
    answer = client.get(f"{address}/{name}")
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:brats-mm:problem:damaged")
    after = client.get(f"/v1/jobs/{job['id']}").json()
    assert (after["state"], after["results"]) == ("failed", [])
    assert "damaged or missing" in after["error"]["detail"]


def test_zip_is_created_once_and_recreated_when_damaged(client, job, monkeypatch):
    address, path = f"/v1/jobs/{job['id']}/results/all.zip", client.service.queue.files.locate_all_results(job["id"])
    first = client.get(address)
    actual = path.stat().st_mtime_ns
    assert client.get(address, headers={"Range": "bytes=0-3"}).content == b"PK\x03\x04"
    assert path.stat().st_mtime_ns == actual
    flip(path)
    again = client.get(address)
    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, first.headers["etag"])


def test_interrupted_deletion_is_finished_at_next_start(client, job, monkeypatch):
    queue = client.service.queue

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(JobFiles, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        queue.remove(queue.records.get(job["id"]))
    monkeypatch.undo()
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert queue.files.result(job["id"]).is_dir()
    queue.recover()
    assert not queue.files.result(job["id"]).exists()


def test_sweep_finds_lost_running_job(client, job):
    records = client.service.queue.records
    with records._database.writing() as connection:
        connection.execute(
            "UPDATE jobs SET state = ?, results = '[]' WHERE id = ?", (JobState.RUNNING.value, job["id"])
        )
    assert ended(client, job["id"])["state"] == "done"


def test_audit_log_has_caller_and_action_but_no_names(client, job, made_head):
    canary = "CANARY-Smith"
    client.get(f"/v1/jobs/{job['id']}/results/{NAME}")
    client.get(f"/v1/jobs/{canary}")
    client.delete(f"/v1/jobs/{job['id']}")
    text = (client.service.settings.data / "audit.jsonl").read_text()
    mine = [entry for entry in map(json.loads, text.splitlines()) if entry.get("job") == job["id"]]
    assert {"POST", "GET", "DELETE"} <= {entry["method"] for entry in mine}
    assert all(entry["caller"] == "local" for entry in mine)
    assert canary not in text
    assert (client.service.settings.data / "audit.jsonl").stat().st_mode & 0o77 == 0


def test_ready_only_while_data_folder_exists(tmp_path):
    data = tmp_path / "data"
    with serving(small_settings(data)) as client:
        ended_or_ready = client.get("/readyz")
        assert ended_or_ready.status_code in (200, 503)
        (data / "incoming").rename(tmp_path / "gone")
        assert client.get("/readyz").status_code == 503
        (tmp_path / "gone").rename(data / "incoming")
