"""Inspection of a zip before a job: series, their use, and the reasons. Nothing is stored."""

import json

import numpy as np

from tests.fakes.dicom_series import TYPICAL, with_number
from tests.fakes.serving import serving, small_settings
from tests.service.test_dicom_studies import AFFINE, grey, study
from tests.service.test_hostile_uploads import zipped


def test_series_of_zip_are_listed_with_use(tmp_path):
    files = study((grey(), AFFINE, TYPICAL["t2"]), (grey(1), AFFINE, TYPICAL["flair"]))
    with serving(small_settings(tmp_path)) as client:
        table = client.post("/v1/inspect", files=files).json()
        assert table["kind"] == "DICOM"
        (result,) = table["studies"]
        assert {one["description"]: one["used_as"] for one in result["series"]} == {
            "AX T2 TSE": "t2",
            "AX T2 FLAIR": "flair",
        }
        assert result["missing"] == ["t1", "t1ce"]
        label = next(one["series"] for one in result["series"] if one["used_as"] == "flair")
        options = {"options": json.dumps({"series": {"t2": "none", "t1": "none", "t1ce": "none", "flair": label}})}
        job = client.post("/v1/jobs", files=files, data=options).json()
        assert job["sequences_found"] == ["flair"], "the labels of the table are what a job takes"
        assert client.get("/v1/jobs").json()["jobs"][0]["id"] == job["id"], "inspecting makes no job"


def test_tied_series_are_a_problem_that_names_request_options(tmp_path):
    again = with_number(TYPICAL["t2"], 8)
    with serving(small_settings(tmp_path)) as client:
        table = client.post(
            "/v1/inspect", files=study((grey(), AFFINE, TYPICAL["t2"]), (grey(1), AFFINE, again))
        ).json()
        assert "series.t2" in table["problems"][0]
        assert "--t2" not in table["problems"][0]


def test_rejects_anything_but_zip_of_a_case(tmp_path):
    with serving(small_settings(tmp_path)) as client:
        for content, status in ((b"no zip", 422), (zipped(**{"readme.txt": b"x"}), 422)):
            answer = client.post("/v1/inspect", files={"case": ("case.zip", content)})
            assert answer.status_code == status
            assert str(tmp_path) not in answer.text
        assert client.post("/v1/inspect", files={"t1": ("t1.nii", b"x")}).status_code == 400
        assert not list(np.atleast_1d(client.get("/v1/jobs").json()["jobs"]))
