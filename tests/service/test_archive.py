"""A study travels from a real archive through a job and back: SEG, Parametric Map and SR, stored once, with retries."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.options import ModelOptions
from brats_mm_service.settings import DicomwebSettings, WorkerSettings
from tests.fakes.dicom_series import TYPICAL, make_slices
from tests.fakes.orthanc import MISSING, REASON, free_port, orthanc
from tests.fakes.serving import serving, small_settings, until

NAME = "Zwackelmann^Petronella"


def datasets(study):
    """Return two sequences of a synthetic head, and a localiser."""
    head = make_phantom(3, (56, 64, 48))
    actual = []
    for modality, volume in head.images.items():
        if modality.value in ("t1ce", "flair"):
            facts = replace(TYPICAL[modality.value], study=study, extra={"PatientName": NAME})
            actual += make_slices(np.clip(np.rint(volume.data), 0, 4000), volume.grid.affine, facts)
    return actual


def send(archive, study):
    """Send a study to the archive and return its UID."""
    images = datasets(study)
    for one in images:
        stream = io.BytesIO()
        one.save_as(stream, enforce_file_format=True)
        assert archive.post("/instances", content=stream.getvalue()).status_code == 200
    return images[0].StudyInstanceUID


def settings_for(data, port, bundle, **changes):
    link = DicomwebSettings(f"http://127.0.0.1:{port}/dicom-web", retry_s=0.05, attempts=3, timeout_s=60)
    worker = WorkerSettings(ModelOptions(bundle=bundle, device="cpu", window=64, overlap=0.0))
    return small_settings(data, dicomweb=replace(link, **changes), worker=worker)


def ended(http, uid):
    """Wait for the newest transfer of a study to end and return it."""

    def look():
        one = http.get(f"/v1/dicomweb/studies/{uid}").json()[0]
        return one if one["state"] in ("done", "failed") else None

    return until(look)


def instances(archive, modality):
    """Return the objects of a modality in the archive."""
    result = archive.post("/tools/find", json={"Level": "Instance", "Query": {"Modality": modality}}).json()
    return [pydicom.dcmread(io.BytesIO(archive.get(f"/instances/{one}/file").content)) for one in result]


@pytest.mark.skipif(MISSING, reason=REASON)
@pytest.mark.slow
def test_study_is_fetched_segmented_and_stored_once(tmp_path, tiny_bundle, caplog):
    port = free_port()
    with (
        orthanc(tmp_path / "orthanc", port) as archive,
        serving(settings_for(tmp_path / "data", port, tiny_bundle), behaviour="real") as http,
    ):
        uid = send(archive, "round trip")
        begun = http.post(f"/v1/dicomweb/studies/{uid}")
        assert begun.status_code == 202
        first = ended(http, uid)
        assert (first["state"], len(first["stored"]), first["already_there"]) == ("done", 3, []), first
        job = http.get(first["job"]).json()
        assert job["sequences_found"] == ["t1ce", "flair"]
        report = http.get(f"{first['job']}/results/report.json").text
        assert "Zwackelmann" not in report + json.dumps(job) + caplog.text
        (segmentation,) = instances(archive, "SEG")
        local = pydicom.dcmread(io.BytesIO(http.get(f"{first['job']}/results/segmentation.dcm").content))
        assert np.array_equal(segmentation.pixel_array, local.pixel_array)
        series = [one for one in instances(archive, "MR") if one.SeriesInstanceUID == (
            segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID)]  # fmt: skip
        assert segmentation.FrameOfReferenceUID == series[0].FrameOfReferenceUID
        places = {tuple(one.ImagePositionPatient) for one in series}
        for group in segmentation.PerFrameFunctionalGroupsSequence:
            assert tuple(group.PlanePositionSequence[0].ImagePositionPatient) in places
        volume = hd.seg.Segmentation.from_dataset(segmentation).get_volume(combine_segments=True)
        assert volume.array.shape[1:] == (series[0].Rows, series[0].Columns)
        assert len(instances(archive, "OT")) == len(instances(archive, "SR")) == 1

        assert http.post(f"/v1/dicomweb/studies/{uid}").status_code == 202
        second = ended(http, uid)
        assert second["id"] != first["id"]
        assert (second["state"], second["stored"]) == ("done", [])
        assert sorted(second["already_there"]) == sorted(first["stored"])
        assert len(instances(archive, "SEG")) == 1

        unknown = "1.2.3.4.5"
        http.post(f"/v1/dicomweb/studies/{unknown}")
        missing = ended(http, unknown)
        assert missing["state"] == "failed"
        assert "no MR series" in missing["detail"]


@pytest.mark.skipif(MISSING, reason=REASON)
@pytest.mark.slow
def test_documented_script_makes_orthanc_request_stable_studies(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "dicom.md").read_text("utf-8")
    script = re.search(r"```lua\n(.*?)```", page, re.DOTALL).group(1)
    port = free_port()
    with serving(settings_for(tmp_path / "data", port, None)) as http:
        (tmp_path / "ask.lua").write_text(script.replace("http://127.0.0.1:8000", str(http.base_url).rstrip("/")))
        changes = {"LuaScripts": [str(tmp_path / "ask.lua")], "StableAge": 1}
        with orthanc(tmp_path / "orthanc", port, **changes) as archive:
            uid = send(archive, "stable")
            began = until(lambda: http.get(f"/v1/dicomweb/studies/{uid}").json())
            assert len(began) == 1


def test_unavailable_archive_is_retried_then_given_up(tmp_path):
    uid = "1.2.3.4"
    with serving(settings_for(tmp_path / "data", free_port(), None)) as http:
        assert http.post(f"/v1/dicomweb/studies/{uid}").status_code == 202
        failed = ended(http, uid)
    assert failed["state"] == "failed"
    assert "could not be reached after 3 attempts" in failed["detail"]


def test_accepts_only_uids_and_needs_configured_archive(tmp_path):
    with serving(settings_for(tmp_path / "with", free_port(), None)) as http:
        for bad in ("1.2.x", "..", "1..2", "01.2", "1.2%2F3"):
            assert http.post(f"/v1/dicomweb/studies/{bad}").status_code in (404, 405, 422), bad
    with serving(small_settings(tmp_path / "without")) as http:
        answer = http.post("/v1/dicomweb/studies/1.2.3")
        assert answer.status_code == 404
        assert "--dicomweb-url" in answer.json()["detail"]


def test_polling_reports_new_studies_once_when_stable(tmp_path):
    from brats_mm_service.database import Database
    from brats_mm_service.dicomweb.transfers import Transfers

    database = Database(tmp_path / "records.sqlite3")
    transfers = Transfers(database)
    assert transfers.take_stable_studies([("1.1", 5)]) == []
    assert transfers.take_stable_studies([("1.1", 9), ("1.2", 3)]) == []
    assert transfers.take_stable_studies([("1.1", 9), ("1.2", 4)]) == []
    assert transfers.take_stable_studies([("1.1", 9), ("1.2", 4)]) == ["1.2"]
    assert transfers.take_stable_studies([("1.1", 9), ("1.2", 7)]) == []
    database.close()


def test_token_file_holds_token_or_header(tmp_path):
    from brats_mm.errors import OptionError

    token = tmp_path / "token"
    for text, expected in (("abc\n", {"Authorization": "Bearer abc"}), ("X-Key: k", {"X-Key": "k"})):
        token.write_text(text)
        assert DicomwebSettings("http://a", token_file=token).headers() == expected
    token.write_text("")
    with pytest.raises(OptionError, match="one line"):
        DicomwebSettings("http://a", token_file=token).headers()
