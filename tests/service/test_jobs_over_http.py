"""Submit, follow, fetch and delete jobs over HTTP, with a fake worker."""

import io
import json
import re
import socket
import zipfile

import pytest
import SimpleITK

from tests.fakes.serving import LONGEST_S, ended, serving, small_settings, two_files, until
from tests.fakes.step_gate import StepGate
from tests.fakes.stopwatch import stopwatch


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(small_settings(tmp_path_factory.mktemp("data"))) as client:
        yield client


@pytest.fixture(scope="module")
def done(client, made_head):
    job = client.post("/v1/jobs", files=two_files(made_head)).json()
    return ended(client, job["id"])


def test_submission_lists_found_and_missing_sequences(client, made_head):
    answer = client.post("/v1/jobs", files=two_files(made_head), data={"options": '{"probabilities": true}'})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["sequences_found"], job["sequences_missing"]) == (["t1ce", "flair"], ["t1", "t2"])
    assert job["options"]["probabilities"] is True
    assert "not for diagnosis" in job["disclaimer"]


def test_finished_job_lists_results_with_hashes(client, done):
    assert done["state"] == "done"
    assert done["progress"]["stage"] == "finished"
    names = {one["name"]: one for one in done["results"]}
    assert set(names) == {"segmentation.nii.gz", "report.json", "preview.png"}
    assert names["segmentation.nii.gz"]["size"] == 10240
    assert len(names["report.json"]["sha256"]) == 64
    assert client.get(done["links"]["results"]).json() == done["results"]


def test_results_have_type_etag_and_ranges(client, done):
    path = f"/v1/jobs/{done['id']}/results/segmentation.nii.gz"
    whole = client.get(path)
    assert whole.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in whole.headers
    assert whole.content == bytes(range(256)) * 40
    tag = whole.headers["etag"]
    part = client.get(path, headers={"Range": "bytes=10-19", "If-Range": tag})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/10240"
    assert client.get(path, headers={"Range": "bytes=-6"}).content == bytes(range(250, 256))
    assert client.get(path, headers={"If-None-Match": f'"x", {tag}'}).status_code == 304
    assert client.head(path).headers["content-length"] == "10240"
    beyond = client.get(path, headers={"Range": "bytes=99999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10240")
    assert client.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).status_code == 200


def test_one_zip_holds_all_results(client, done):
    answer = client.get(done["links"]["zip"])
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist()}
        assert re.fullmatch(r"brats-mm_\d{4}-\d\d-\d\d_\d{6}", folder)
        names = sorted(name.removeprefix(f"{folder}/") for name in archive.namelist())
        assert names == ["preview.png", "report.json", "segmentation.nii.gz"]
        assert archive.read(f"{folder}/segmentation.nii.gz") == bytes(range(256)) * 40


def test_unknown_result_error_lists_results(client, done):
    for name in ("scene.mrb", "..%2f..%2frecords.sqlite3", "all.zip.partial"):
        answer = client.get(f"/v1/jobs/{done['id']}/results/{name}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_accepts_zip_of_case_folder(client, made_head):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(made_head.iterdir()):
            if not path.name.endswith("t2w.nii.gz"):
                archive.write(path, f"study/head/{path.name}")
        archive.writestr("study/head/notes.txt", "x")
        archive.writestr("study/head/BraTS-GLI-00000-000-seg.nii.gz", b"not read")
    job = client.post("/v1/jobs", files={"case": ("head.zip", packed.getvalue())}).json()
    assert job["sequences_found"] == ["t1", "t1ce", "flair"]
    assert job["sequences_missing"] == ["t2"]
    assert job["ignored"]["study/head/notes.txt"] == "it is not an image"
    assert "label map" in job["ignored"]["BraTS-GLI-00000-000-seg.nii.gz"]
    assert ended(client, job["id"])["state"] == "done"


@pytest.fixture(scope="module")
def bids_zip(made_head):
    """A BIDS dataset with two sessions, of which one has two runs of T1."""
    t1, flair = (next(made_head.glob(f"*-{name}.nii.gz")).read_bytes() for name in ("t1n", "t2f"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for run in (1, 2):
            archive.writestr(f"data/sub-01/ses-pre/anat/sub-01_ses-pre_run-{run}_T1w.nii.gz", t1)
        archive.writestr("data/sub-01/ses-pre/anat/sub-01_ses-pre_FLAIR.nii.gz", flair)
        archive.writestr("data/sub-01/ses-post/anat/sub-01_ses-post_T1w.nii.gz", t1)
        archive.writestr("data/sub-01/ses-post/anat/sub-01_ses-post_FLAIR.nii.gz", flair)
    return packed.getvalue()


def test_options_select_session_of_zipped_bids_dataset(client, bids_zip):
    options = {"participant": ["01"], "session": ["ses-pre"], "run": "2"}
    job = client.post("/v1/jobs", files={"case": ("b.zip", bids_zip)}, data={"options": json.dumps(options)}).json()
    assert job["files"] == {"t1": "sub-01_ses-pre_run-2_T1w.nii.gz", "flair": "sub-01_ses-pre_FLAIR.nii.gz"}
    assert {name: job["options"][name] for name in options} == options
    assert ended(client, job["id"])["state"] == "done"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"participant": ["01"]},
            "2 sessions match, but exactly one must match: sub-01_ses-post, sub-01_ses-pre. Select it with the options",
        ),
        ({"session": ["pre"]}, "T1 could be"),
        ({"participant": ["7"]}, "No session matches"),
    ],
)
def test_rejects_selection_of_no_case_or_several(client, bids_zip, options, sentence):
    form = {"files": {"case": ("b.zip", bids_zip)}, "data": {"options": json.dumps(options)}}
    for address in ("/v1/jobs", "/v1/inspect"):
        answer = client.post(address, **form)
        assert answer.status_code == 422
        assert sentence in answer.json()["detail"]


def test_rejects_selection_from_single_files(client, made_head):
    file = next(made_head.glob("*-t2f.nii.gz")).read_bytes()
    options = {"options": json.dumps({"run": "1"})}
    answer = client.post("/v1/jobs", files={"flair": ("a.nii.gz", file)}, data=options)
    assert (answer.status_code, "need a BIDS dataset" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_accepts_every_documented_volume_format(client, made_head, tmp_path, suffix):
    path = tmp_path / f"t1ce{suffix}"
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(made_head / "BraTS-GLI-00000-000-t1c.nii.gz")), str(path))
    sent = client.post("/v1/jobs", files={"t1ce": (path.name, path.read_bytes())})
    assert (sent.status_code, sent.json()["sequences_found"]) == (202, ["t1ce"])


def test_uploads_are_deleted_after_use_unless_kept(client, made_head, done):
    until(lambda: not client.service.queue.files.upload(done["id"]).exists())
    kept = client.post("/v1/jobs", files=two_files(made_head), data={"options": '{"keep_upload": true}'}).json()
    ended(client, kept["id"])
    assert {path.name for path in client.service.queue.files.upload(kept["id"]).iterdir()} == {
        "t1ce.nii.gz",
        "flair.nii.gz",
    }


def test_same_key_returns_same_job_which_runs_once(client, made_head):
    key = {"Idempotency-Key": "study-7"}
    first = client.post("/v1/jobs", files=two_files(made_head), headers=key)
    second = client.post("/v1/jobs", files=two_files(made_head), headers=key)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]
    other = client.post("/v1/jobs", files=two_files(made_head), data={"options": '{"preview": false}'}, headers=key)
    assert other.status_code == 422
    assert "used with other files or options" in other.json()["detail"]


def test_job_list_is_paged_and_newest_first(client, made_head):
    result = [client.post("/v1/jobs", files=two_files(made_head)).json()["id"] for _ in range(3)]
    first = client.get("/v1/jobs", params={"limit": 2}).json()
    second = client.get(first["next"]).json()
    assert [job["id"] for job in first["jobs"]] == [result[2], result[1]]
    assert second["jobs"][0]["id"] == result[0]
    assert client.get("/v1/jobs", params={"cursor": "zzzz"}).status_code == 400


def test_events_report_each_change_until_end(client, made_head):
    job = client.post("/v1/jobs", files=two_files(made_head)).json()
    with client.stream("GET", job["links"]["events"]) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert events[-1]["state"] == "done"
    assert all(event["id"] == job["id"] for event in events)


def test_deleted_job_is_removed_with_its_files(client, made_head):
    job = client.post("/v1/jobs", files=two_files(made_head)).json()
    ended(client, job["id"])
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404
    root = client.service.queue.files.root
    assert not (root / "jobs" / job["id"]).exists()
    assert not list((root / "trash").glob(f"{job['id']}.*"))


@pytest.mark.parametrize("deaf", [False, True], ids=["cooperative", "deaf"])
def test_running_job_stops_within_two_seconds(tmp_path, made_head, deaf):
    """A worker that ignores the cancel command is stopped too."""
    behaviour = {"deaf": deaf, **StepGate(tmp_path / "gate").behaviour}
    with serving(small_settings(tmp_path / "data"), behaviour=behaviour) as client:
        job = client.post("/v1/jobs", files=two_files(made_head)).json()
        path = job["links"]["self"]
        until(lambda: client.get(path).json()["progress"]["stage"] == "segmenting")
        early = client.get(f"{path}/results")
        assert (early.status_code, "still running" in early.json()["detail"]) == (409, True)
        with stopwatch() as watch:
            assert client.delete(path).status_code == 204
        assert watch.own_s < 2
        assert client.get(path).json()["state"] == "cancelled"
        assert not (client.service.queue.files.root / "jobs" / job["id"]).exists()
        until(lambda: client.get("/readyz").status_code == 200)


def test_worker_crash_fails_job_with_reason_and_starts_new_worker(tmp_path, made_head):
    with serving(small_settings(tmp_path), behaviour={"crash_at": 0}) as client:
        job = ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])
        assert job["state"] == "failed"
        assert "stopped (signal SIGABRT)" in job["error"]["detail"]
        assert job["error"]["type"] == "urn:brats-mm:problem:worker-crash"
        again = ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])
        assert again["state"] == "failed"
        assert float(re.search(r"\nbrats_mm_worker_starts_total (\S+)", client.get("/metrics").text)[1]) >= 2
        until(lambda: 'brats_mm_failures_total{kind="worker-crash"} 2.0' in client.get("/metrics").text)


def test_job_fails_with_message_of_worker(tmp_path, made_head):
    with serving(small_settings(tmp_path), behaviour={"fail": "bad-grid"}) as client:
        job = ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])
        assert job["error"]["status"] == 422
        assert job["error"]["detail"] == "t1.nii.gz cannot be used."
        assert client.get(f"/v1/jobs/{job['id']}/results").status_code == 409


def test_models_health_and_metrics(client, done):
    model = client.get("/v1/models").json()
    assert model["models"][0]["loaded"] is True
    assert list(model["sequences"]) == ["t1", "t1ce", "t2", "flair"]
    assert "folder" not in model["models"][0]
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "confinement": "none"}  # the fake worker is not confined
    until(lambda: "brats_mm_queue_length 0.0" in client.get("/metrics").text)  # jobs of other tests may still wait
    until(lambda: 'brats_mm_stage_seconds_count{stage="network"}' in client.get("/metrics").text)
    text = client.get("/metrics").text
    assert 'route="/v1/jobs/{job_id}"' in text
    assert done["id"] not in text


def test_responses_have_security_headers(client):
    headers = client.get("/healthz").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


def test_other_web_pages_cannot_reach_local_service(client, made_head):
    crossed = client.post("/v1/jobs", files=two_files(made_head), headers={"Origin": "https://evil.example"})
    assert crossed.status_code == 403
    rebound = client.get("/v1/jobs", headers={"Host": "evil.example"})
    assert rebound.status_code == 421


def test_unknown_paths_and_methods_are_problems(client):
    for answer, status in ((client.get("/nothing"), 404), (client.put("/v1/jobs"), 405)):
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_full_queue_returns_429_with_retry_time(tmp_path, made_head):
    from brats_mm_service.settings import QueueLimits

    settings = small_settings(tmp_path / "data", queue=QueueLimits(queued=2))
    with serving(settings, behaviour=StepGate(tmp_path / "gate").behaviour) as client:
        first = client.post("/v1/jobs", files=two_files(made_head)).json()
        until(lambda: client.get(first["links"]["self"]).json()["state"] == "running")
        positions = [client.post("/v1/jobs", files=two_files(made_head)).json()["queue_position"] for _ in range(2)]
        assert positions == [0, 1]
        full = client.post("/v1/jobs", files=two_files(made_head))
        assert full.status_code == 429
        assert 5 <= int(full.headers["retry-after"]) <= 600
        assert "The queue is full: 2 jobs are waiting." in full.json()["detail"]


def test_expired_results_are_reported(tmp_path, made_head):
    from brats_mm_service.settings import Retention

    with serving(small_settings(tmp_path, retention=Retention(result_s=0.5, record_s=3600, sweep_s=0.1))) as client:
        job = client.post("/v1/jobs", files=two_files(made_head)).json()
        until(lambda: client.get(job["links"]["self"]).json()["state"] == "expired")
        answer = client.get(f"/v1/jobs/{job['id']}/results/report.json")
        assert (answer.status_code, answer.json()["title"]) == (410, "Expired")
        until(lambda: not (client.service.queue.files.root / "jobs" / job["id"]).exists())


def test_slow_upload_is_ended(tmp_path):
    from brats_mm_service.settings import UploadLimits

    settings = small_settings(tmp_path, uploads=UploadLimits(free_bytes=0, idle_s=0.3))
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="t1"; filename="a.nii"\r\n\r\nabc'
    with (
        serving(settings) as client,
        socket.create_connection(("127.0.0.1", client.base_url.port), timeout=LONGEST_S) as one,
    ):
        one.sendall(head + part)
        assert one.recv(100).startswith(b"HTTP/1.1 408")
        until(lambda: not list((tmp_path / "incoming").iterdir()))


def test_reports_model_that_cannot_be_loaded(tmp_path):
    with serving(small_settings(tmp_path), behaviour={"unable": True}) as client:
        until(lambda: "no weights" in client.get("/readyz").json().get("detail", ""))
        assert client.get("/readyz").status_code == 503
