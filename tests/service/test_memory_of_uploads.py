"""No upload below 1 MB raises the memory of the service and its upload reader by more than 256 MiB."""

import io
import json
import threading
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from tests.fakes.serving import LONGEST_S, serving, small_settings

pytestmark = pytest.mark.slow

MIB = 2**20
MOST = 256 * MIB


def packed(**entries):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return target.getvalue()


def dicom(dataset, syntax, padding=0):
    """Return a DICOM file whose meta group may be long."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = syntax
    if padding:
        meta.PrivateInformationCreatorUID = "1.2.3"
        meta.PrivateInformation = bytes(padding)
    dataset.file_meta = meta
    target = io.BytesIO()
    dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


def image(**values):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    dataset.SeriesInstanceUID = dataset.StudyInstanceUID = "1.2.4"
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def deflated_bomb():
    """Return a header that inflates to 600 MB, with the transfer syntax after 3,000 bytes of its meta group."""
    whole = dicom(image(), DeflatedExplicitVRLittleEndian, padding=3000)
    head = whole[: 144 + int.from_bytes(whole[140:144], "little")]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(b"\x09\x00\x10\x00UN\x00\x00" + (600 * MIB).to_bytes(4, "little"))
    for _ in range(600):
        body += packer.compress(bytes(MIB))
    return head + body + packer.flush()


def many_elements():
    dataset = image()
    for number in range(50_000):
        dataset.add_new((0x0009 + 2 * (number // 60_000), 0x1000 + number % 60_000), "LO", "")
    return dicom(dataset, ExplicitVRLittleEndian)


UPLOADS = {
    "a deflated header behind a long meta group": lambda: packed(IM1=deflated_bomb()),
    "a header of 50,000 elements": lambda: packed(IM1=many_elements()),
    "eight of them": lambda: packed(**{f"IM{number}": many_elements() for number in range(8)}),
    "a dataset.json of 300 MiB": lambda: packed(
        **{"dataset.json": b'{"channel_names": {"0": "' + b"a" * (300 * MIB) + b'"}}', "x_0000.nii.gz": b"x"}
    ),
    "a nested dataset.json": lambda: packed(**{"dataset.json": b"[" * 900_000, "x_0000.nii.gz": b"x"}),
    "many names": lambda: packed(**{f"{number:06d}": b"" for number in range(7000)}),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_small_uploads_take_little_memory(tmp_path, kind):
    content = UPLOADS[kind]()
    assert len(content) < 10**6
    with serving(small_settings(tmp_path)) as client:
        assert client.post("/v1/jobs", files={"case": ("c.zip", packed(a=b"x"))}).status_code == 422
        pids = (Path("/proc/self"), Path(f"/proc/{client.service.checker.pid}"))
        before, peak, stopping = memory(pids), [0], threading.Event()

        def watch():
            while not stopping.wait(0.01):
                peak[0] = max(peak[0], memory(pids))

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.monotonic()
        try:
            answer = client.post("/v1/jobs", files={"case": ("c.zip", content)}, timeout=LONGEST_S)
        finally:
            stopping.set()
            watcher.join()
        assert client.get("/healthz").status_code == 200
    rise = max(0, peak[0] - before)
    print(f"{kind}: {len(content):,} bytes raised memory by {rise / MIB:.0f} MiB in {time.monotonic() - start:.1f} s")  # noqa: T201
    assert answer.status_code in (413, 415, 422), answer.text
    assert answer.json()["detail"].endswith(".")
    assert rise <= MOST


def memory(processes):
    """Return the memory of processes and their forks in bytes, with the pages that they share counted once."""
    return sum(_proportional(process) for process in (*processes, *_forks(processes[1])))


def _forks(process):
    try:
        numbers = (process / "task" / process.name / "children").read_text().split()
    except OSError:
        return []
    return [Path(f"/proc/{number}") for number in numbers]


def _proportional(process):
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def test_ignores_dataset_json_that_is_too_long_or_too_deep(tmp_path):
    from brats_mm.io.naming import _read_dataset_names

    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"channel_names": {"0": "FLAIR"}}))
    assert len(_read_dataset_names(path)) == 1
    path.write_text(json.dumps({"channel_names": {"0": "FLAIR"}}) + " " * (5 * MIB))
    assert _read_dataset_names(path) == {}
    path.write_text("[" * 100_000)
    assert _read_dataset_names(path) == {}
