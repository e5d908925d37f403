"""Hostile callers of the correction loop: bodies without a token, malicious JSON, names, races and ownership."""

import errno
import gzip
import json
import os
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import nibabel as nib
import numpy as np
import pytest
from fastapi.routing import APIRoute

from brats_mm.io.bundle import default_bundle
from brats_mm.learning import store
from brats_mm_service.app import ROUTERS
from brats_mm_service.monai_label import corrections, training
from brats_mm_service.routes import inputs, stored_file
from brats_mm_service.workers.process_memory import read_resident_bytes
from tests.fakes.serving import ended, serving, small_settings, two_files
from tests.fakes.viewer_results import make_results

RACES = int(os.environ.get("BRATS_MM_RACES", "10"))
MIB = 2**20


@pytest.fixture(scope="module")
def datastore(tmp_path_factory, made_head):
    folder = tmp_path_factory.mktemp("datastore")
    for name in ("case-1", "case-2"):
        (folder / name).mkdir()
        for sequence in ("t1c", "t2f"):
            file = f"BraTS-GLI-00000-000-{sequence}.nii.gz"
            (folder / name / file).write_bytes((made_head / file).read_bytes())
    return folder


@pytest.fixture(scope="module")
def http(tmp_path_factory, datastore, made_head):
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz").affine
    results = make_results(tmp_path_factory.mktemp("made") / "results", affine)
    settings = small_settings(tmp_path_factory.mktemp("data"), datastore=datastore)
    with serving(settings, behaviour={"results": str(results)}) as client:
        yield client


def label(made_head, *, value=2, start=20):
    image = nib.load(made_head / "BraTS-GLI-00000-000-t2f.nii.gz")
    labels = np.zeros(image.shape, np.uint8)
    labels[start : start + 6, 20:26, 20:26] = value
    return gzip.compress(nib.Nifti1Image(labels, image.affine).to_bytes())


def submit(http, data, image="case-1", **fields):
    parts = {"label": ("label.nii.gz", data), **{name: (None, text) for name, text in fields.items()}}
    return http.put("/datastore/label", params={"image": image}, files=parts)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


# Bodies


def test_token_is_checked_before_body_is_read(tmp_path):
    with serving(small_settings(tmp_path)) as client:
        routes = [route for make in ROUTERS for route in make(client.service).routes if isinstance(route, APIRoute)]
    assert len(routes) > 40
    assert [route.path for route in routes if route.body_field is not None] == []


@pytest.mark.parametrize("path", ["/train/brats_mm", "/v1/models/active", "/scoring/corrections", "/v1/jobs"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_body_without_token_takes_no_memory(tmp_path, path, kind):
    sent = 192 * MIB
    with serving(small_settings(tmp_path, require_tokens=True)) as client:
        before, most = read_resident_bytes(os.getpid()), 0
        method = "PUT" if "active" in path else "POST"
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address, timeout=60) as raw:
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer none\r\n"
            raw.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: {sent}\r\n\r\n".encode())
            piece = b" " * MIB
            try:
                for _ in range(sent // MIB):
                    raw.sendall(piece)
                    most = max(most, read_resident_bytes(os.getpid()))
                answer = raw.recv(12)
            except OSError:  # closed by the service
                answer = b"HTTP/1.1 401"
        assert answer == b"HTTP/1.1 401"
        print(f"{path}: {(most - before) / MIB:.0f} MiB more for a body of {sent // MIB} MiB")  # noqa: T201
        assert most - before < 64 * MIB


def test_small_bodies_are_limited_for_known_callers_too(http):
    for method, path in (("POST", "/train/brats_mm"), ("PUT", "/v1/models/active")):
        answer = http.request(method, path, content=b"{" + b" " * 10**6 + b"}")
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:brats-mm:problem:too-large")


# JSON

DEEP = '{"a":' * 900 + "1" + "}" * 900
POISON = [
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": -Infinity}',
    '{"a": "\\ud800"}',
    '{"\\udfff": 1}',
    DEEP,
    '{"a": ' + "[" * 30 + "]" * 30 + "}",
    '{"a": ' + "9" * 5000 + "}",
    "[1]",
    "{",
    '{"label_info": {"name": "edema", "idx": 1}}',
    '{"label_info": [{"name": "edema", "idx": 1.5}]}',
    '{"label_info": [{"name": "edema", "idx": true}]}',
    '{"label_info": [{"name": "edema", "idx": 1}, {"name": "necrosis", "idx": 1}]}',
    '{"label_info": [[]]}',
]


@pytest.mark.parametrize("text", POISON, ids=range(len(POISON)))
def test_rejects_invalid_json_without_breaking_listings(http, made_head, text):
    data = label(made_head)
    assert submit(http, data, image="case-2").status_code == 200
    answers = [submit(http, data, image="case-2", params=text)]
    if "label_info" not in text:
        answers.append(http.put("/datastore/label/info?label=case-2", files={"info": (None, text)}))
        answers.append(http.post("/train/brats_mm", content=text))
        answers.append(http.put("/v1/models/active", content=text))
    assert {answer.status_code for answer in answers} == {422}, [answer.text for answer in answers]
    for route in ("?output=all", "?output=train", "label/info?label=case-2"):
        assert http.get(f"/datastore/{route}").status_code == 200
    assert http.delete("/datastore/label?id=case-2").status_code == 200


def test_huge_valid_number_round_trips(http, made_head):
    assert submit(http, label(made_head), image="case-2", params='{"a": ' + "9" * 4000 + "}").status_code == 200
    assert len(str(http.get("/datastore/label/info?label=case-2").json()["params"]["a"])) == 4000


def test_viewer_information_cannot_override_service_information(http, made_head):
    assert submit(http, label(made_head)).status_code == 200
    forged = {"version": 99, "author": "somebody", "trainable": False, "scores": {"wt": {"dice": 1}}, "note": "mine"}
    assert http.put("/datastore/label/info?label=case-1", files={"info": (None, json.dumps(forged))}).status_code == 200
    about = http.get("/datastore/label/info?label=case-1").json()
    assert (about["note"], about["trainable"], about["scores"]) == ("mine", True, {})
    assert about["version"] < 99
    assert about["author"] == ""


def test_information_per_label_or_image_is_limited(http, made_head):
    flair = (made_head / "BraTS-GLI-00000-000-t2f.nii.gz").read_bytes()
    http.put("/datastore/image?image=head", files={"file": ("flair.nii.gz", flair)})
    assert submit(http, label(made_head)).status_code == 200
    for route in ("label/info?label=case-1", "image/info?image=head"):
        statuses = []
        for number in range(4):
            info = json.dumps({f"key-{number}": "x" * 50_000})
            statuses.append(http.put(f"/datastore/{route}", files={"info": (None, info)}).status_code)
        assert statuses == [200, 200, 413, 413]


@pytest.mark.parametrize(
    "params",
    [
        {"minutes": "nan"},
        {"minutes": "inf"},
        {"minutes": 10**9},
        {"minutes": -1},
        {"minutes": [1]},
        {"side": "9" * 30},
        {"side": "Infinity"},
        {"side": -64},
        {"learning_rate": "nan"},
        {"learning_rate": 1e30},
        {"learning_rate": -0.1},
        {"seed": 10**40},
        {"seed": -1},
        {"batch": "x"},
    ],
    ids=str,
)
def test_rejects_invalid_training_values(http, params):
    answer = http.post("/train/brats_mm", json={"brats_mm": params})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:brats-mm:problem:bad-option"), answer.text
    assert http.get("/train/").status_code == 404


# Label files


def zip_of(data):
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("label.nii.gz", data)
    return packed.getvalue()


@pytest.mark.parametrize("kind", ["bomb", "zip", "4-D", "huge header", "truncated", "complex"])
def test_rejects_malicious_label_file(http, made_head, kind):
    image = nib.load(made_head / "BraTS-GLI-00000-000-t2f.nii.gz")
    good = label(made_head)
    if kind == "bomb":
        data = gzip.compress(gzip.decompress(good) + bytes(512 * MIB), 1)
    elif kind == "zip":
        data = zip_of(good)
    elif kind == "4-D":
        data = gzip.compress(nib.Nifti1Image(np.ones((*image.shape, 40), np.uint8), image.affine).to_bytes(), 1)
    elif kind == "huge header":
        raw = bytearray(gzip.decompress(good))
        raw[42:48] = (32767).to_bytes(2, "little") * 3
        data = gzip.compress(bytes(raw))
    elif kind == "truncated":
        data = good[: len(good) // 2]
    else:
        data = gzip.compress(nib.Nifti1Image(np.ones(image.shape, np.complex64), image.affine).to_bytes(), 1)
    answer = submit(http, data, image="case-2")
    print(f"{kind}: {len(data):,} bytes, {answer.status_code}")  # noqa: T201
    assert answer.status_code in (413, 415, 422), answer.text
    assert not list((http.service.queue.files.root / "incoming").iterdir())


# Names

NAMES = ["../case-1", "..", ".", "/etc/passwd", "a/../../b", "x\x00y", "x\r\nSet-Cookie: a=b", "x\u202ey", "é" * 300]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_never_paths_or_headers(http, made_head, name):
    root = http.service.settings.data
    flair = (made_head / "BraTS-GLI-00000-000-t2f.nii.gz").read_bytes()
    outside = set(root.parent.iterdir())
    put = http.put("/datastore/image", params={"image": name}, files={"file": ("flair.nii.gz", flair)})
    assert put.status_code == 200, put.text
    parts = {"label": ("label.nii.gz", label(made_head))}
    stored = http.put("/datastore/label", params={"image": name, "tag": name[:60]}, files=parts)
    assert stored.status_code == 200, stored.text
    fetched = http.get("/datastore/label", params={"label": name, "tag": name[:60]})
    assert fetched.status_code == 200
    assert "set-cookie" not in fetched.headers
    assert set(root.parent.iterdir()) == outside
    folders = [path for kind in ("viewers", "corrections") for path in (root / kind).rglob("*") if path.is_dir()]
    assert all(set(path.name) <= set("0123456789abcdef") or path.name in ("images", "sessions") for path in folders)
    assert http.delete("/datastore/image", params={"id": name}).status_code == 200
    assert http.get("/datastore/label", params={"label": name, "tag": name[:60]}).status_code == 404


@pytest.mark.parametrize("version", ["../models", "..", ".", "", "/etc", "active.json", "base/..", "x\x00", "é" * 200])
def test_rejects_unknown_version(http, version):
    assert http.put("/v1/models/active", json={"version": version}).status_code in (404, 422)
    assert http.get("/v1/models/versions").json()["active"] == "base"


# Owners


def test_callers_cannot_access_data_of_others(tmp_path, made_head):
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz").affine
    results = make_results(tmp_path / "results", affine, preparation={"kind": "prepared"})
    settings = small_settings(tmp_path / "data", require_tokens=True)
    with serving(settings, behaviour={"results": str(results)}) as http:
        make = http.service.tokens.create
        scopes = ("jobs:read", "jobs:write", "models:write")
        ann, bob, eve = (bearer(make(name, rights)[1]) for name, rights in (
            ("ann", scopes), ("bob", scopes), ("eve", scopes[:2])
        ))  # fmt: skip
        http.headers.update(ann)
        flair = (made_head / "BraTS-GLI-00000-000-t2f.nii.gz").read_bytes()
        for number in (1, 2):
            http.put(f"/datastore/image?image=head-{number}", files={"file": ("flair.nii.gz", flair + b"")})
            assert submit(http, label(made_head, start=10 * number), image=f"head-{number}").status_code == 200
        options = {"options": '{"keep_upload": true}'}
        job = ended(http, http.post("/v1/jobs", files=two_files(made_head), data=options).json()["id"])["id"]
        assert submit(http, label(made_head), image=job).status_code == 200
        session = http.put("/session/", files={"files": ("t2f.nii.gz", flair)}).json()["session_id"]

        http.headers.update(bob)
        asked = [
            ("GET", f"/v1/jobs/{job}"),
            ("DELETE", f"/v1/jobs/{job}"),
            ("GET", f"/v1/jobs/{job}/results"),
            ("GET", f"/v1/jobs/{job}/results/segmentation.nii.gz"),
            ("GET", f"/v1/jobs/{job}/inputs"),
            ("GET", f"/v1/jobs/{job}/inputs/t1ce"),
            ("GET", f"/v1/jobs/{job}/inputs/study.zip"),
            ("GET", f"/v1/jobs/{job}/events"),
            ("GET", f"/session/{session}"),
            ("DELETE", f"/session/{session}"),
            *(("GET", f"/datastore/{kind}={image}") for image in ("head-1", job) for kind in (
                "image?image", "image/info?image", "label?label", "label/info?label"
            )),
            *(("DELETE", f"/datastore/{kind}?id={image}") for image in ("head-1", job) for kind in ("image", "label")),
            ("POST", "/infer/brats_mm?image=head-1"),
            ("POST", f"/infer/brats_mm?session_id={session}"),
        ]  # fmt: skip
        for method, path in asked:
            assert http.request(method, path).status_code == 404, (method, path)
        for image in ("head-1", job):
            assert submit(http, label(made_head), image=image).status_code == 404
            info = {"info": (None, '{"a": 1}')}
            assert http.put(f"/datastore/label/info?label={image}", files=info).status_code == 404
            assert http.put(f"/datastore/image/info?image={image}", files=info).status_code == 404
        assert http.get("/datastore/?output=all").json()["objects"] == {}
        assert http.get("/datastore/?output=train").json() == []
        assert http.get("/scoring/").json()["history"] == []
        assert http.post("/scoring/corrections").json()["history"] == []
        assert http.get("/v1/jobs").json()["jobs"] == []

        http.headers.update(eve)
        for method, path in (
            ("POST", "/train/brats_mm"),
            ("DELETE", "/train/"),
            ("PUT", "/v1/models/active"),
            ("POST", "/v1/models/rollback"),
        ):
            answer = http.request(method, path, json={"version": "base"})
            assert (answer.status_code, "models:write" in answer.json()["detail"]) == (403, True), path
        http.headers.update(ann)
        assert http.get("/datastore/label?label=head-1").status_code == 200
        assert http.get(f"/v1/jobs/{job}").json()["state"] == "done"


# Races


def hammer(*tasks):
    """Run each task RACES times in its own thread, and return the status of every response."""

    def many(task):
        return [task(number) for number in range(RACES)]

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [status for done in pool.map(many, tasks) for status in done]


@pytest.mark.slow
def test_concurrent_label_requests_cause_no_error(http, made_head):
    data, info = label(made_head), {"info": (None, '{"a": 1}')}
    statuses = hammer(
        lambda _: submit(http, data).status_code,
        lambda _: submit(http, data).status_code,
        lambda _: http.put("/datastore/label/info?label=case-1", files=info).status_code,
        lambda _: http.delete("/datastore/label?id=case-1").status_code,
        lambda _: http.post("/scoring/corrections").status_code,
        lambda _: http.get("/datastore/?output=all").status_code,
        lambda _: http.get("/datastore/label?label=case-1").status_code,
    )
    print(f"{len(statuses)} requests: { ({one: statuses.count(one) for one in sorted(set(statuses))}) }")  # noqa: T201
    assert set(statuses) <= {200, 404}


@pytest.mark.slow
def test_concurrent_image_requests_cause_no_error(http, made_head):
    flair = (made_head / "BraTS-GLI-00000-000-t2f.nii.gz").read_bytes()
    data, info = label(made_head), {"info": (None, '{"a": 1}')}
    statuses = hammer(
        lambda _: http.put("/datastore/image?image=race", files={"file": ("flair.nii.gz", flair)}).status_code,
        lambda _: http.delete("/datastore/image?id=race").status_code,
        lambda _: http.put("/datastore/image/info?image=race", files=info).status_code,
        lambda _: submit(http, data, image="race").status_code,
        lambda _: http.post("/infer/brats_mm?image=race&output=json").status_code,
        lambda _: http.get("/datastore/image?image=race").status_code,
    )
    print(f"{len(statuses)} requests: { ({one: statuses.count(one) for one in sorted(set(statuses))}) }")  # noqa: T201
    assert set(statuses) <= {200, 404, 429}


@pytest.mark.slow
def test_concurrent_job_requests_cause_no_error(http, made_head):
    files, options = two_files(made_head), {"options": '{"keep_upload": true}'}
    jobs = ["none"]

    def send(_):
        answer = http.post("/v1/jobs", files=files, data=options)
        jobs.append(answer.json().get("id", "none"))
        return answer.status_code

    statuses = hammer(
        send,
        send,
        lambda _: http.delete(f"/v1/jobs/{jobs[-1]}").status_code,
        lambda _: http.get(f"/v1/jobs/{jobs[-1]}/results/segmentation.nii.gz").status_code,
        lambda _: http.get(f"/v1/jobs/{jobs[-1]}/results/all.zip").status_code,
        lambda _: http.get(f"/v1/jobs/{jobs[-1]}/inputs/t1ce").status_code,
        lambda _: http.get(f"/v1/jobs/{jobs[-1]}/inputs").status_code,
        lambda _: http.get("/v1/jobs").status_code,
    )
    print(f"{len(statuses)} requests: { ({one: statuses.count(one) for one in sorted(set(statuses))}) }")  # noqa: T201
    assert set(statuses) <= {200, 202, 204, 404, 409, 429}


@pytest.mark.parametrize("when", ["before it is opened", "while it is sent"])
def test_file_deleted_during_request_is_404_or_complete(http, made_head, monkeypatch, when):
    data = label(made_head)
    assert submit(http, data, image="case-2").status_code == 200
    real, store = os.open, http.service.corrections

    def opening(path, *arguments, **named):
        if "label" not in str(path):
            return real(path, *arguments, **named)
        if when == "while it is sent":
            handle = real(path, *arguments, **named)
            store.remove(store.list_for_image("local", "case-2", "final")[-1])
            return handle
        store.remove(store.list_for_image("local", "case-2", "final")[-1])
        return real(path, *arguments, **named)

    monkeypatch.setattr(stored_file.os, "open", opening)
    answer = http.get("/datastore/label?label=case-2")
    if when == "while it is sent":
        assert (answer.status_code, answer.content) == (200, data)
    else:
        assert (answer.status_code, "deleted during the request" in answer.json()["detail"]) == (404, True)


def test_label_deleted_while_training_starts_is_a_conflict(http, made_head, monkeypatch):
    for number, image in enumerate(("case-1", "case-2")):
        assert submit(http, label(made_head, start=10 * (number + 1)), image=image).status_code == 200
    store = http.service.corrections
    one = store.all("local")[0]
    monkeypatch.setattr(training, "choose_cases", lambda _: [one])
    store.remove(one)
    answer = http.post("/train/brats_mm")
    assert (answer.status_code, "deleted during the request" in answer.json()["detail"]) == (409, True), answer.text
    assert not list((http.service.queue.files.root / "incoming").iterdir())
    assert http.get("/train/").status_code == 404


@pytest.mark.parametrize("name", ["write_json", "sync"])
def test_full_disk_while_storing_label_leaves_nothing(http, made_head, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = http.get("/datastore/?output=all").json()
    monkeypatch.setattr(store, name, full)
    answer = submit(http, label(made_head))
    assert (answer.status_code, answer.json()["type"]) == (507, "urn:brats-mm:problem:disk-full")
    monkeypatch.undo()
    assert http.get("/datastore/?output=all").json() == before
    assert not list((http.service.queue.files.root / "incoming").iterdir())
    assert submit(http, label(made_head)).status_code == 200


def test_labels_per_caller_are_limited(tmp_path, made_head, monkeypatch):
    flair = (made_head / "BraTS-GLI-00000-000-t2f.nii.gz").read_bytes()
    monkeypatch.setattr(corrections, "MAX_LABELS", 1)
    with serving(small_settings(tmp_path)) as http:
        http.put("/datastore/image?image=head", files={"file": ("flair.nii.gz", flair)})
        assert [submit(http, label(made_head), image="head").status_code for _ in range(2)] == [200, 429]


def test_result_of_other_version_is_not_used_for_active_version(tmp_path, made_head, datastore):
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz").affine
    number = json.loads((default_bundle() / "configs" / "metadata.json").read_text())["version"]
    results = make_results(tmp_path / "results", affine, model={"name": "x", "version": "9.9.9+site.1"})
    report = json.loads((results / "report.json").read_text())
    settings = small_settings(tmp_path / "data", datastore=datastore)
    with serving(settings, behaviour={"results": str(results)}) as http:

        def job():
            return http.post("/infer/brats_mm?image=case-1&output=json").json()["job"]

        first = job()
        (results / "report.json").write_text(json.dumps(report | {"model": {"name": "x", "version": number}}))
        second = job()
        assert first != second, "the first result is not that of the active version"
        assert job() == second


# Kept studies


def test_readers_of_kept_study_share_one_zip_deleted_with_job(tmp_path, made_head, monkeypatch):
    with serving(small_settings(tmp_path)) as http:
        options = {"options": '{"keep_upload": true}'}
        job = ended(http, http.post("/v1/jobs", files=two_files(made_head), data=options).json()["id"])["id"]
        upload = http.service.queue.files.upload(job)
        for name in ("t1ce.nii.gz", "flair.nii.gz"):  # as a DICOM series is stored: a folder of slices
            data = (upload / name).read_bytes()
            (upload / name).unlink()
            (upload / name).mkdir()
            (upload / name / "1.dcm").write_bytes(data)
        made, real = [], inputs._zip
        monkeypatch.setattr(inputs, "_zip", lambda *arguments: (made.append(1), real(*arguments)))
        path = f"/v1/jobs/{job}/inputs/study.zip"
        assert http.get(path).content == http.get(path).content
        with http.stream("GET", path) as stalled:
            assert stalled.status_code == 200
        assert made == [1]
        assert not list((tmp_path / "incoming").iterdir())
        assert http.delete(f"/v1/jobs/{job}").status_code == 204
        assert not http.service.queue.files.locate_kept_study(job).exists()
