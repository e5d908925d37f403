"""Submitted labels over HTTP: versions, stored information and errors, with a fake worker."""

import gzip
import json
import shutil
import time

import nibabel as nib
import numpy as np
import pytest

from brats_mm_service.viewer.store import Kind
from tests.fakes.serving import ended, serving, small_settings, two_files, until
from tests.fakes.viewer_results import make_results


@pytest.fixture(scope="module")
def datastore(tmp_path_factory, made_head):
    folder = tmp_path_factory.mktemp("datastore")
    for name in ("case-1", "case-2"):
        shutil.copytree(made_head, folder / name)
    return folder


@pytest.fixture(scope="module")
def http(tmp_path_factory, datastore):
    with serving(small_settings(tmp_path_factory.mktemp("data"), datastore=datastore)) as client:
        yield client


def label_bytes(made_head, *, value=2, shape=None, start=20, dtype=np.uint8, shift=0.0):
    image = nib.load(made_head / "BraTS-GLI-00000-000-t2f.nii.gz")
    labels = np.zeros(shape or image.shape, dtype)
    labels[start : start + 10, 20:30, 20:30] = value
    affine = image.affine.copy()
    affine[0, 3] += shift
    return gzip.compress(nib.Nifti1Image(labels, affine).to_bytes())


def submit(http, data, *, image="case-1", name="label.nii.gz", params=None, query=""):
    fields = {} if params is None else {"params": (None, json.dumps(params))}
    return http.put(f"/datastore/label?image={image}{query}", files={"label": (name, data), **fields})


def test_score_history_is_empty_without_labels(http):
    assert http.get("/scoring/").json()["history"] == []
    assert http.get("/scoring/", params={"check_if_running": True}).status_code == 404


def test_each_submission_is_a_new_version(http, made_head):
    first, second = label_bytes(made_head), label_bytes(made_head, start=22)
    assert submit(http, first, params={"client_id": "dr-ann"}).json()["version"] == 1
    assert submit(http, second).json()["version"] == 2
    assert http.get("/datastore/label?label=case-1").content == second
    assert http.get("/datastore/label?label=case-1&version=1").content == first
    assert http.get("/datastore/label?label=case-1&version=3").status_code == 404
    about = http.get("/datastore/label/info?label=case-1&version=1").json()
    assert (about["version"], about["author"], about["sequences"]) == (1, "dr-ann", ["t1", "t1ce", "t2", "flair"])
    assert about["volumes_ml"] == {"ncr": 0.0, "ed": 1.0, "et": 0.0}
    assert about["prediction"] is None
    entry = http.get("/datastore/?output=all").json()["objects"]["case-1"]["labels"]["final"]
    assert (entry["ext"], entry["info"]["version"]) == (".nii.gz", 2)
    assert http.delete("/datastore/label?id=case-1").status_code == 200
    assert http.get("/datastore/label?label=case-1&version=1").status_code == 404


def test_named_labels_of_viewer_are_stored_with_library_values(http, made_head):
    info = [{"name": "enhancing tumor", "idx": 7}]
    assert submit(http, label_bytes(made_head, value=7), image="case-2", params={"label_info": info}).status_code == 200
    assert http.get("/datastore/label/info?label=case-2").json()["volumes_ml"] == {"ncr": 0.0, "ed": 0.0, "et": 1.0}


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"shape": (74, 72, 56), "start": 62}, 422, "is on a different grid than the images"),
        ({"shift": 3.5}, 422, "is on a different grid than the images"),
        ({"value": 4}, 422, "has the values 4"),
        ({"value": 0}, 422, "no voxel has a label"),
        ({"value": 0.5, "dtype": np.float32}, 422, "labels are integers"),
    ],
)
def test_rejects_label_that_does_not_fit_its_image(http, made_head, change, status, words):
    answer = submit(http, label_bytes(made_head, **change))
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert "/" not in answer.json()["detail"].replace("mm.", "")
    assert not list((http.service.queue.files.root / "incoming").iterdir())


NRRD = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: %b\nencoding: %b\nspace: left-posterior-superior\n%b\n\n"


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("label.nrrd", b"", 422),
        ("label.nrrd", b"not an image", 415),
        ("label.nrrd", NRRD % (b"64 72 56", b"raw", b"data file: /etc/passwd"), 422),
        ("label.nrrd", NRRD % (b"90000 90000 90000", b"gzip", b"space origin: (0,0,0)"), 422),
        ("label.nrrd", NRRD % (b"64 72 56", b"gzip", b"space origin: (0,0,0)") + b"\x1f\x8b\x08", 422),
        ("label.nrrd", NRRD % (b"-1 72 56", b"raw", b"space origin: (0,0,0)"), 422),
    ],
)
def test_hostile_file_is_rejected_and_leaves_nothing(http, name, data, status):
    answer = submit(http, data, name=name)
    assert answer.status_code == status, answer.text
    assert "passwd" not in answer.text
    assert not list((http.service.queue.files.root / "incoming").iterdir())


def test_rejects_unknown_image_and_missing_file(http, made_head):
    assert submit(http, label_bytes(made_head), image="nobody").status_code == 404
    assert http.put("/datastore/label?image=case-1", data={"params": "{}"}).status_code == 400


def test_label_survives_its_upload_and_a_restart(tmp_path, made_head, monkeypatch):
    label, flair = label_bytes(made_head), (made_head / "BraTS-GLI-00000-000-t2f.nii.gz").read_bytes()
    with serving(small_settings(tmp_path)) as http:
        http.put("/datastore/image?image=head", files={"file": ("flair.nii.gz", flair)})
        assert submit(http, label, image="head").status_code == 200
        monkeypatch.setattr(http.service.viewer_store, "_now", lambda: time.time() + 10 * 86400)
        until(lambda: http.get("/datastore/image?image=head").status_code == 404)
    with serving(small_settings(tmp_path)) as http:
        http.service.viewer_store.remove("local", Kind.IMAGE, "head")
        assert http.get("/datastore/label?label=head").content == label
        listed = http.get("/datastore/?output=all").json()["objects"]["head"]
        assert listed["image"]["info"]["expired"] is True
        assert http.get("/datastore/?output=train").json()[0]["sequences"] == ["flair"]


def finished(http, made_head, **options):
    """Return a finished job with T1ce and FLAIR."""
    job = http.post("/v1/jobs", files=two_files(made_head), data={"options": json.dumps(options)}).json()
    assert ended(http, job["id"])["state"] == "done"
    return job["id"]


@pytest.fixture(scope="module")
def made_jobs(tmp_path_factory, made_head):
    """Jobs with results on the grid of the head, of prepared and of raw input."""
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz").affine
    root = tmp_path_factory.mktemp("made")
    kinds = {"prepared": {"kind": "prepared"}, "raw": {"kind": "raw"}}
    return {kind: make_results(root / kind, affine, preparation=values) for kind, values in kinds.items()}


def test_finished_job_accepts_label_and_is_scored(tmp_path, made_head, made_jobs):
    with serving(small_settings(tmp_path), behaviour={"results": str(made_jobs["prepared"])}) as http:
        job = finished(http, made_head, keep_upload=True)
        label = (made_jobs["prepared"] / "segmentation.nii.gz").read_bytes()
        answer = submit(http, label, image=job, params={"author": "Dr Ann"})
        assert (answer.status_code, answer.json()["version"]) == (200, 1), answer.text
        about = http.get(f"/datastore/label/info?label={job}").json()
        assert (about["author"], about["sequences"], about["trainable"]) == ("Dr Ann", ["t1ce", "flair"], True)
        assert about["prediction"]["job"] == job
        assert about["scores"]["wt"]["dice"] == 1.0
        assert [row["image"] for row in http.get("/scoring/").json()["history"]] == [job]
        assert http.get("/datastore/?output=all").json()["objects"][job]["image"]["info"]["expired"] is False
        http.delete(f"/v1/jobs/{job}")
        assert http.get(f"/datastore/label?label={job}").content == label, "the label outlives the job"
        assert http.get("/datastore/?output=all").json()["objects"][job]["image"]["info"]["expired"] is True


@pytest.mark.parametrize(("kind", "keep_upload"), [("prepared", False), ("raw", True)])
def test_label_of_job_without_images_is_scored_but_not_trained_on(tmp_path, made_head, made_jobs, kind, keep_upload):
    with serving(small_settings(tmp_path), behaviour={"results": str(made_jobs[kind])}) as http:
        job = finished(http, made_head, keep_upload=keep_upload)
        assert submit(http, label_bytes(made_head), image=job).status_code == 200
        about = http.get(f"/datastore/label/info?label={job}").json()
        assert (about["sequences"], about["trainable"]) == ([], False)
        assert 0 < about["scores"]["wt"]["dice"] < 1
        assert http.get("/datastore/?output=train").json() == []


def test_rejects_label_for_job_of_other_caller(tmp_path, made_head, made_jobs):
    settings = small_settings(tmp_path, require_tokens=True)
    with serving(settings, behaviour={"results": str(made_jobs["prepared"])}) as http:
        ann, bob = ({"Authorization": f"Bearer {http.service.tokens.create(name)[1]}"} for name in ("ann", "bob"))
        http.headers.update(ann)
        job = finished(http, made_head)
        http.headers.update(bob)
        answer = submit(http, label_bytes(made_head), image=job)
        assert (answer.status_code, "There is no image" in answer.json()["detail"]) == (404, True)


def test_result_with_brats2021_labels_is_scored_by_regions(tmp_path, made_head, made_jobs):
    """Enhancing tumour is 4 in the result and in its correction, and the viewer sends the names of the values."""
    image = nib.load(made_jobs["prepared"] / "segmentation.nii.gz")
    labels = np.asarray(image.dataobj).copy()
    labels[labels == 3] = 4
    results = make_results(tmp_path / "results", image.affine)
    nib.save(nib.Nifti1Image(labels, image.affine), results / "segmentation.nii.gz")
    with serving(small_settings(tmp_path / "data"), behaviour={"results": str(results)}) as http:
        job = finished(http, made_head, keep_upload=True)
        info = [{"name": name, "idx": value} for name, value in (("ncr", 1), ("ed", 2), ("et", 4))]
        label = (results / "segmentation.nii.gz").read_bytes()
        assert submit(http, label, image=job, params={"label_info": info}).status_code == 200
        scores = http.get(f"/datastore/label/info?label={job}").json()["scores"]
        assert {region: values["dice"] for region, values in scores.items()} == {"wt": 1.0, "tc": 1.0, "et": 1.0}
