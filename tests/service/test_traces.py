"""After DELETE, no patient data is left in the records, their journal, the audit log or the service's log."""

import io
import logging
import zipfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from brats_mm_service.settings import QueueLimits
from tests.fakes.dicom_series import TYPICAL, make_slices
from tests.fakes.serving import ended, serving, small_settings, until

CANARY = "Quetzalcoatl-Smith"


def zipped(name, content):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, content)
    return target.getvalue()


def files_with(folder, text):
    """Return the files of a folder that contain a text. Files deleted during the search are skipped."""
    holding = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and text.encode() in path.read_bytes():
                holding.append(path)
    return holding


@pytest.mark.parametrize("fail", [None, "bad-volume", "internal"])
def test_deleted_job_leaves_no_name(tmp_path, made_head, caplog, fail):
    caplog.set_level(logging.DEBUG)
    volume = (made_head / "BraTS-GLI-00000-000-t1c.nii.gz").read_bytes()
    case = zipped(f"{CANARY}/{CANARY}_t1ce.nii.gz", volume)
    with serving(small_settings(tmp_path), behaviour={"fail": fail, "detail": f"{CANARY} cannot be used."}) as client:
        key = {"Idempotency-Key": CANARY}
        sent = client.post("/v1/jobs", files={"case": (f"{CANARY}.zip", case)}, headers=key).json()
        ended(client, sent["id"])
        for refused in ({"case": (f"{CANARY}.zip", b"PK" + CANARY.encode())}, {"t1": (f"{CANARY}.nii.gz", b"x" * 500)}):
            assert client.post("/v1/jobs", files=refused).status_code >= 400
        client.get(f"/v1/jobs/{CANARY}")
        assert client.delete(f"/v1/jobs/{sent['id']}").status_code == 204
        # On a busy machine, a reader can delay emptying the write-ahead log until the next sweep.
        until(lambda: not files_with(tmp_path, CANARY))
        named = list(tmp_path.rglob(f"*{CANARY}*"))
    print(f"{fail}: no file contains the name, {len(named)} file names contain it")  # noqa: T201
    assert named == []
    ours = [record for record in caplog.records if record.name.startswith(("brats_mm_service", "uvicorn"))]
    assert ours
    assert CANARY not in " ".join(str(vars(record)) for record in ours)


TEXT = ("LO", "SH", "PN", "LT", "ST", "UT")
"""Value representations that can hold a name."""
GROUPS = (0x0008, 0x0010, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040)


def named_study(description):
    """Return a zip of a series with a name in every text attribute of its headers and in its path."""
    keywords = [
        keyword
        for tag, (representation, multiplicity, _, retired, keyword) in pydicom.datadict.DicomDictionary.items()
        if representation in TEXT and tag >> 16 in GROUPS and keyword and not retired and multiplicity[:1] == "1"
    ]
    extra = dict.fromkeys(keywords, CANARY[:16]) | {"SeriesDescription": f"{description} {CANARY}"}
    facts = replace(TYPICAL["t2"], description=extra["SeriesDescription"], extra=extra)
    data = np.random.default_rng(0).integers(0, 3000, (8, 8, 10)).astype(float)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, one in enumerate(make_slices(data, np.diag([-1.0, -1.0, 5.0, 1.0]), facts)):
            raw = io.BytesIO()
            one.save_as(raw, enforce_file_format=True)
            archive.writestr(f"{CANARY}/{CANARY}_{index}", raw.getvalue())
        archive.writestr(f"{CANARY}/{CANARY}.txt", CANARY)
    assert len(keywords) > 100
    return packed.getvalue()


@pytest.mark.parametrize("fail", [None, "bad-volume", "internal"])
def test_deleted_job_leaves_no_text_of_dicom_headers(tmp_path, caplog, fail):
    caplog.set_level(logging.DEBUG)
    case, unknown = named_study("AX T2 TSE"), named_study("phase contrast")
    with serving(small_settings(tmp_path), behaviour={"fail": fail, "detail": f"{CANARY} cannot be used."}) as client:
        sent = client.post("/v1/jobs", files={"case": (f"{CANARY}.zip", case)})
        assert sent.status_code == 202, sent.text
        job = sent.json()["id"]
        ended(client, job)
        client.post("/v1/inspect", files={"case": (f"{CANARY}.zip", case)})
        for refused in (unknown, case[: len(case) // 2]):
            assert client.post("/v1/jobs", files={"case": ("case.zip", refused)}).status_code >= 400
        assert client.delete(f"/v1/jobs/{job}").status_code == 204
        until(lambda: not files_with(tmp_path, CANARY[:16]))
        named = list(tmp_path.rglob(f"*{CANARY[:16]}*"))
    print(f"{fail}: no file contains header text, {len(named)} file names contain it")  # noqa: T201
    assert named == []
    ours = [
        record for record in caplog.records if record.name.startswith(("brats_mm", "uvicorn", "pydicom", "highdicom"))
    ]
    assert ours
    assert CANARY[:16] not in " ".join(str(vars(record)) for record in ours)


@pytest.mark.parametrize("fail", [None, "bad-volume"])
def test_disk_use_per_caller_is_limited(tmp_path, made_head, fail):
    """Kept uploads of failed jobs count, too."""
    volume = (made_head / "BraTS-GLI-00000-000-t1c.nii.gz").read_bytes()
    limits = QueueLimits(kept_bytes_per_caller=1000)
    with serving(small_settings(tmp_path, queue=limits), behaviour={"fail": fail}) as client:
        options = {"options": '{"keep_upload": true}'}
        job = client.post("/v1/jobs", files={"t1ce": ("a.nii.gz", volume)}, data=options).json()["id"]
        ended(client, job)
        full = client.post("/v1/jobs", files={"t1ce": ("a.nii.gz", volume)})
        assert (full.status_code, full.json()["type"]) == (507, "urn:brats-mm:problem:quota")
        client.delete(f"/v1/jobs/{job}")
        assert client.post("/v1/jobs", files={"t1ce": ("a.nii.gz", volume)}).status_code == 202
