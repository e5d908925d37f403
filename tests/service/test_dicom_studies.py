"""DICOM studies as zips over HTTP: series are chosen before the job is accepted, and the worker reads the voxels."""

import io
import json
import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pydicom
import pytest

from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.options import ModelOptions
from brats_mm_service.settings import WorkerSettings
from tests.fakes.dicom_series import TYPICAL, make_slices, with_number
from tests.fakes.serving import ended, serving, small_settings, until

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


def grey(seed=0, shape=(8, 8, 10)):
    return np.random.default_rng(seed).integers(0, 3000, shape).astype(np.float64)


def study(*series):
    """Zip of series, each (array, affine, facts), with file names like those of a scanner export."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (data, affine, facts) in enumerate(series):
            for index, one in enumerate(make_slices(data, affine, facts)):
                raw = io.BytesIO()
                one.save_as(raw, enforce_file_format=True)
                archive.writestr(f"DICOM/ST0/SE{number}/IM{index}", raw.getvalue())
    return {"case": ("study.zip", packed.getvalue())}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(small_settings(tmp_path_factory.mktemp("data"))) as client:
        yield client


def test_series_are_recognised_at_submission(client):
    files = study((grey(), AFFINE, TYPICAL["t2"]), (grey(1), AFFINE, TYPICAL["flair"]))
    job = client.post("/v1/jobs", files=files).json()

    assert (job["sequences_found"], job["sequences_missing"]) == (["t2", "flair"], ["t1", "t1ce"])
    assert ended(client, job["id"])["state"] == "done"


def test_tied_series_need_an_option(client):
    again = with_number(TYPICAL["t2"], 8)
    files = study((grey(), AFFINE, TYPICAL["t2"]), (grey(1), AFFINE, again))
    refused = client.post("/v1/jobs", files=files)

    assert refused.status_code == 422
    assert "option series.t2" in refused.json()["detail"]
    options = {"options": json.dumps({"series": {"t2": again.series_uid}})}
    taken = client.post("/v1/jobs", files=files, data=options)
    assert taken.status_code == 202
    assert taken.json()["options"]["series"] == {"t2": again.series_uid}


def test_two_studies_in_one_zip_need_an_option(client):
    files = study((grey(), AFFINE, TYPICAL["t2"]), (grey(1), AFFINE, replace(TYPICAL["flair"], study="another")))
    refused = client.post("/v1/jobs", files=files)

    assert refused.status_code == 422
    assert "option study" in refused.json()["detail"]


def test_deidentification_needs_dicom_results(client):
    files = study((grey(), AFFINE, TYPICAL["t2"]))
    refused = client.post("/v1/jobs", files=files, data={"options": json.dumps({"deidentify": True})})

    assert refused.status_code == 422
    assert "Add dicom" in refused.json()["detail"]


@pytest.mark.slow
def test_real_worker_segments_study(tiny_bundle, tmp_path):
    head = make_phantom(3, (64, 72, 56))
    series = [
        (np.clip(np.rint(volume.data - volume.data.min()), 0, 60000), volume.grid.affine, TYPICAL[modality.value])
        for modality, volume in head.images.items()
        if modality.value in ("t1ce", "flair")
    ]
    worker = WorkerSettings(ModelOptions(bundle=tiny_bundle, device="cpu", window=64))
    with serving(replace(small_settings(tmp_path), worker=worker), behaviour="real") as client:
        until(lambda: client.get("/readyz").status_code == 200)
        options = {"options": json.dumps({"dicom": True, "deidentify": True})}
        job = ended(client, client.post("/v1/jobs", files=study(*series), data=options).json()["id"])
        assert job["state"] == "done", job["error"]
        content = client.get(f"/v1/jobs/{job['id']}/results/segmentation.nii.gz").content
        bare = pydicom.dcmread(io.BytesIO(client.get(f"/v1/jobs/{job['id']}/results/segmentation.dcm").content))
    assert bare.PatientIdentityRemoved == "YES"
    assert bare.PatientID.startswith("ANON-")
    assert bare.StudyInstanceUID != TYPICAL["t1ce"].study_uid
    (tmp_path / "got.nii.gz").write_bytes(content)
    got, affine = nib.load(tmp_path / "got.nii.gz"), series[0][1]
    turned = np.linalg.inv(affine) @ got.affine
    assert got.shape == (64, 72, 56)
    assert np.allclose(np.abs(turned[:3, :3]), np.eye(3), atol=1e-4)


def test_kept_study_is_served_as_zip_that_can_be_resubmitted(client):
    """For example without one of its sequences."""
    files = study((grey(), AFFINE, TYPICAL["t2"]), (grey(1), AFFINE, TYPICAL["flair"]))
    job = client.post("/v1/jobs", files=files, data={"options": '{"keep_upload": true}'}).json()
    finished = ended(client, job["id"])
    packed = client.get(finished["links"]["study"])
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"t2", "flair"}
    options = {"options": '{"series": {"flair": "none"}}'}
    again = client.post("/v1/jobs", files={"case": ("study.zip", packed.content)}, data=options).json()
    assert again["sequences_found"] == ["t2"]
    until(lambda: not list((client.service.queue.files.root / "incoming").iterdir()))


def test_deidentified_job_warns_of_identity_in_pictures(client):
    files = study((grey(), AFFINE, TYPICAL["t2"]))
    plain = client.post("/v1/jobs", files=files, data={"options": '{"dicom": true}'}).json()
    bare = client.post("/v1/jobs", files=files, data={"options": '{"dicom": true, "deidentify": true}'}).json()
    said = "burned-in annotations and the face"
    assert [any(said in note for note in job["notes"]) for job in (plain, bare)] == [False, True]


def test_study_that_was_not_kept_is_not_served(client):
    files = study((grey(), AFFINE, TYPICAL["t2"]))
    job = ended(client, client.post("/v1/jobs", files=files).json()["id"])
    assert "study" not in job["links"]
    assert client.get(f"/v1/jobs/{job['id']}/inputs/study.zip").status_code == 404
