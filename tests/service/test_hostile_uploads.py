"""Malicious and broken uploads: each is refused with a 4xx and a sentence, and leaves nothing on the disk."""

import gzip
import io
import json
import stat
import struct
import zipfile
from contextlib import suppress

import httpx
import nibabel as nib
import numpy as np
import pytest

from brats_mm_service.settings import UploadLimits
from brats_mm_service.uploads import multipart
from brats_mm_service.uploads.intake import LONGEST_REMARK, MOST_REMARKS
from tests.fakes.serving import serving, small_settings, until

MIB = 2**20


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    limits = UploadLimits(
        file_bytes=2 * MIB, total_bytes=5 * MIB, unpacked_bytes=8 * MIB, zip_entries=20, parts=6, free_bytes=0
    )
    with serving(small_settings(tmp_path_factory.mktemp("data"), uploads=limits)) as client:
        yield client


@pytest.fixture(scope="module")
def good(made_head):
    return (made_head / "BraTS-GLI-00000-000-t1c.nii.gz").read_bytes()


def assert_rejected(client, status, sentence, **request):
    """Assert that a request is rejected with a problem body and leaves no file."""
    answer = client.post("/v1/jobs", **request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert sentence in answer.json()["detail"]
    assert str(client.service.queue.files.root) not in answer.text
    assert not list((client.service.queue.files.root / "incoming").iterdir())


def nifti(shape=(32, 32, 32), *, declared=None, **fields):
    """Return the bytes of a NIfTI file whose header may be wrong."""
    data = np.random.default_rng(0).integers(0, 1000, shape).astype(np.int16)
    image = nib.Nifti1Image(data, np.eye(4))
    raw = bytearray(image.to_bytes())
    if declared is not None:
        raw[40 : 40 + 2 * (len(declared) + 1)] = struct.pack(f"<{len(declared) + 1}h", len(declared), *declared)
    for offset, value in fields.get("at", {}).items():
        raw[offset : offset + len(value)] = value
    return bytes(raw)


def nrrd(header, data=b""):
    return b"NRRD0004\n" + header.encode() + b"\n\n" + data


def zipped(**entries):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


VOLUMES = {
    "no bytes": ("t1.nii.gz", b"", 422, "t1.nii.gz is empty"),
    "no volume": ("t1.nii.gz", b"hello world" * 50, 415, "not a volume file by its content"),
    "a picture": ("t1.nii.gz", b"\x89PNG\r\n\x1a\n" + bytes(500), 415, "not a volume file"),
    "dicom": ("t1.dcm", bytes(128) + b"DICM" + bytes(500), 415, "in the form field 'case'"),
    "a zip as a volume": ("t1.nii.gz", zipped(a=b"x"), 415, "zip file"),
    "nrrd named nifti": ("t1.nii.gz", nrrd("dimension: 3"), 415, "has the suffix .nii.gz, but its content is .nrrd"),
    "dimensions beyond memory": (
        "t1.nii",
        nifti(declared=(30000, 30000, 30000)),
        422,
        "t1.nii has 30000 x 30000 x 30000 voxels",
    ),
    "dimensions beyond the file": (
        "t1.nii",
        nifti(declared=(512, 512, 512)),
        422,
        "less data than its 512 x 512 x 512",
    ),
    "several volumes": ("t1.nii", nifti(declared=(16, 16, 16, 8)), 422, "holds several volumes"),
    "no spacing": (
        "t1.nii",
        nifti(at={76: struct.pack("<4f", 1, 0, 0, 0), 252: bytes(4)}),  # and neither a qform nor an sform
        422,
        "voxel spacing of 0 x 0 x 0 mm",
    ),
    "a gzip bomb with lies": (
        "t1.nii.gz",
        gzip.compress(nifti(declared=(1024, 1024, 256)) + bytes(64 * MIB)),
        422,
        "truncated",
    ),
    "gzip cut off": ("t1.nii.gz", gzip.compress(nifti())[:20000], 422, "damaged or truncated"),
    "gzip of nothing known": ("t1.nii.gz", gzip.compress(b"x" * 5000), 415, "not a volume file"),
    "nrrd of another file": (
        "t1.nrrd",
        nrrd("type: short\ndimension: 3\nsizes: 32 32 32\nencoding: raw\ndata file: /etc/passwd"),
        422,
        "stores its voxels in other files",
    ),
    "nrrd beyond the file": (
        "t1.nrrd",
        nrrd("type: short\ndimension: 3\nsizes: 512 512 512\nendian: little\nencoding: raw", bytes(1000)),
        422,
        "less data than its 512 x 512 x 512",
    ),
    "nrrd gzip bomb": (
        "t1.nrrd",
        nrrd(
            "type: short\ndimension: 3\nsizes: 900 900 300\nendian: little\nencoding: gzip", gzip.compress(bytes(MIB))
        ),
        422,
        "less data than its 900 x 900 x 300",
    ),
    "nrrd with odd encoding": (
        "t1.nrrd",
        nrrd("type: short\ndimension: 3\nsizes: 32 32 32\nencoding: hex", bytes(1000)),
        422,
        "raw or gzip encoding",
    ),
    "nrrd of negative size": (
        "t1.nrrd",
        nrrd("type: short\ndimension: 3\nsizes: -32 32 32\nendian: little\nencoding: raw", bytes(1000)),
        422,
        "Each axis must have",
    ),
    "nhdr of a file beside it": (
        "t1.nhdr",
        nrrd("type: short\ndimension: 3\nsizes: 32 32 32\nendian: little\nencoding: raw\ndata file: t1.raw"),
        422,
        "stores its voxels in other files",
    ),
    "mhd of a file beside it": (
        "t1.mhd",
        b"NDims = 3\nDimSize = 32 32 32\nElementType = MET_SHORT\nElementDataFile = t1.raw\n",
        422,
        "stores its voxels in other files",
    ),
    "header of a pair": ("t1.hdr", nifti(), 415, "half of a two-file image"),
    "metaimage of another file": (
        "t1.mha",
        b"NDims = 3\nDimSize = 32 32 32\nElementType = MET_SHORT\nElementDataFile = /etc/passwd\n",
        422,
        "stores its voxels in other files",
    ),
    "metaimage beyond memory": (
        "t1.mha",
        b"NDims = 3\nDimSize = 99999 99999 99999\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
        422,
        "99999 x 99999 x 99999 voxels",
    ),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_rejects_volume_with_false_header(client, kind):
    name, content, status, sentence = VOLUMES[kind]
    assert_rejected(client, status, sentence, files={"t1": (name, content)})


@pytest.mark.parametrize("name", ["../../etc/passwd.nii.gz", "/tmp/a.nii.gz", "a\x01.nii.gz"])
def test_rejects_names_that_are_paths(client, good, name):
    body = b'--b\r\nContent-Disposition: form-data; name="t1ce"; filename="' + name.encode() + b'"\r\n\r\n'
    body += good + b"\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/jobs", content=body, headers=kind)
    assert answer.status_code == 400
    assert "plain name" in answer.json()["detail"] or "malformed" in answer.json()["detail"]


def archive_with(name, content=b"x", *, mode=None, flag=0, copies=1):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(copies):
            entry = zipfile.ZipInfo(name.format(number))
            if mode is not None:
                entry.external_attr = mode << 16
            archive.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED)
    raw = bytearray(packed.getvalue())
    if flag:
        raw[6] |= flag
        raw[raw.rfind(b"PK\x01\x02") + 8] |= flag
    return bytes(raw)


ARCHIVES = {
    "slip upwards": (archive_with("../../t1.nii.gz"), 422, "paths outside its folder"),
    "an absolute name": (archive_with("/etc/t1.nii.gz"), 422, "paths outside its folder"),
    "a Windows path": (archive_with("..\\t1.nii.gz"), 422, "paths outside its folder"),
    "a symbolic link": (archive_with("t1.nii.gz", b"/etc/passwd", mode=stat.S_IFLNK | 0o777), 422, "links or devices"),
    "a device": (archive_with("t1.nii.gz", b"", mode=stat.S_IFCHR | 0o666), 422, "links or devices"),
    "a password": (archive_with("t1.nii.gz", flag=1), 422, "encrypted"),
    "too many entries": (archive_with("{}_t1.nii.gz", copies=40), 422, "more than the 20 entries"),
    "a bomb": (archive_with("t1.nii", bytes(20 * MIB)), 413, "is too large when unpacked"),
    "many small bombs": (archive_with("{}_t1.nii", bytes(7 * MIB), copies=3), 413, "is too large when unpacked"),
    "no dicom in spite of its name": (archive_with("IM0001.dcm"), 422, "none is a volume or DICOM"),
    "dicom that is none": (archive_with("IM1", bytes(128) + b"DICM" + bytes(99)), 422, "no DICOM image"),
    "no image": (archive_with("readme.txt"), 422, "none is a volume or DICOM"),
    "unclear": (
        zipped(**{"a_t1.nii.gz": b"x", "b_t1.nii.gz": b"y"}),
        422,
        "In the zip file, several files match the same sequence",
    ),
    "a file and a folder of one name": (
        zipped(**{"a/t1.nii.gz": b"x", "a/t1.nii.gz/t2.nii.gz": b"y"}),
        422,
        "a file and a folder with the same name",
    ),
    "not a zip": (b"hello", 415, "not a zip file"),
    "cut off": (archive_with("t1.nii.gz", bytes(5000))[:60], 422, "damaged or truncated"),
    "no volume inside": (archive_with("t1.nii.gz", b"hello"), 415, "not a volume file"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_rejects_malicious_zip(client, kind):
    content, status, sentence = ARCHIVES[kind]
    assert_rejected(client, status, sentence, files={"case": ("case.zip", content)})


def test_remarks_on_files_of_zip_are_limited(tmp_path, good):
    """Remarks are stored and listed with each job, and a zip can hold 50,000 files that no job uses."""
    names = (f"sub-1/anat/sub-1_run-{number}_T1w.nii.gz" for number in range(1, 151))
    case = zipped(**dict.fromkeys(names, good), **{f"sub-1/{number}.txt": b"" for number in range(500)})
    with serving(small_settings(tmp_path)) as client:
        options = {"options": json.dumps({"run": "7", "participant": ["1", *["9" * 1000] * 50]})}
        job = client.post("/v1/jobs", files={"case": ("case.zip", case)}, data=options).json()
        stranger = {"options": json.dumps({"participant": ["2", *["9" * 1000] * 50]})}
        refusal = client.post("/v1/jobs", files={"case": ("case.zip", case)}, data=stranger)
    assert job["files"] == {"t1": "sub-1_run-7_T1w.nii.gz"}
    assert len(job["ignored"]) == MOST_REMARKS + 1
    assert job["ignored"]["and 549 more"] == "see the first ones"
    assert max(len(text) for pair in job["ignored"].items() for text in pair) <= LONGEST_REMARK
    assert refusal.status_code == 422
    assert len(refusal.text) < 5000


def test_sizes_and_counts_are_limited_while_streaming(client, good):
    assert_rejected(client, 413, "larger than 2 MiB", files={"t1": ("t1.nii", bytes(3 * MIB))})
    assert_rejected(
        client, 413, "larger than 65,536 bytes", files={"t1": ("t1.nii", b"x")}, data={"options": "x" * 70000}
    )
    many = [("t1", (f"{number}.nii", b"x")) for number in range(9)]
    assert_rejected(client, 413, "more than 6 parts", files=many)
    with suppress(httpx.TransportError):  # the service may close the connection while the client is sending
        answer = client.post("/v1/jobs", files=[("t1", ("t1.nii", bytes(2 * MIB - 10)))] * 4)
        assert answer.status_code == 413


def test_rejects_body_that_is_no_form(client):
    assert_rejected(client, 415, "multipart/form-data", content=b"x")
    assert_rejected(client, 415, "multipart/form-data", json={"t1": "x"})
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_rejected(client, 400, "malformed", content=b"nothing of the kind", headers=kind)
    cut = b'--b\r\nContent-Disposition: form-data; name="t1"; filename="a.nii"\r\n\r\nabc'
    assert_rejected(client, 400, "ended early", content=cut, headers=kind)
    long = b'--b\r\nContent-Disposition: form-data; name="' + b"a" * 100000 + b'"\r\n\r\nabc\r\n--b--\r\n'
    assert_rejected(client, 400, "malformed", content=long, headers=kind)


def test_rejects_unknown_and_repeated_parts(client, good):
    assert_rejected(client, 400, "Unknown form field 'scan'", files={"scan": ("a.nii.gz", good)})
    assert_rejected(client, 400, "must be a file", data={"t1": "x"}, files={"t2": ("a.nii.gz", good)})
    twice = [("t1", ("a.nii.gz", good)), ("t1", ("b.nii.gz", good))]
    assert_rejected(client, 422, "t1 was sent more than once", files=twice)
    assert_rejected(
        client, 422, "Send only one of them", files={"t1": ("a.nii.gz", good), "case": ("c.zip", zipped(a=b"x"))}
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    only = b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n{}\r\n--b--\r\n'
    assert_rejected(client, 422, "No sequence was sent", content=only, headers=kind)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ('{"labels": "brats1999"}', "labels: Input should be 'brats2023' or 'brats2021'"),
        ('{"speed": 1}', "speed: Extra inputs are not permitted"),
        ("[1]", "Send a JSON object"),
        ("{", "Send a JSON object"),
    ],
)
def test_rejects_options_of_wrong_type(client, good, options, sentence):
    assert_rejected(client, 422, sentence, files={"t1ce": ("a.nii.gz", good)}, data={"options": options})


def test_nearly_full_disk_is_reported_before_upload(tmp_path, good):
    with serving(small_settings(tmp_path, uploads=UploadLimits(free_bytes=2**60))) as client:
        answer = client.post("/v1/jobs", files={"t1ce": ("a.nii.gz", good)})
        assert answer.status_code == 507
        assert "disk is nearly full" in answer.json()["detail"]


def test_disk_that_fills_during_upload_ends_it(tmp_path, monkeypatch):
    """Several uploads together can need more than was free when each began."""
    free = iter([2**40, 2**40, 0])
    usage = multipart.shutil.disk_usage(tmp_path)._replace
    monkeypatch.setattr(multipart.shutil, "disk_usage", lambda _: usage(free=next(free, 0)))
    sent = 0

    def body():
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="t1"; filename="a.nii.gz"\r\n\r\n'
        for _ in range(256):
            sent += 1
            yield bytes(MIB)

    with serving(small_settings(tmp_path, uploads=UploadLimits(free_bytes=1))) as client:
        with suppress(httpx.TransportError):  # the service may close before all is sent
            answer = client.post(
                "/v1/jobs", content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"}
            )
            assert (answer.status_code, "nearly full" in answer.json()["detail"]) == (507, True)
        until(lambda: not list((tmp_path / "incoming").iterdir()))
        print(f"{sent} of 256 MiB were sent")  # noqa: T201
        assert not client.get("/v1/jobs").json()["jobs"]


@pytest.mark.parametrize("kind", ["long", "many"])
def test_headers_of_parts_have_a_limit(client, kind):
    line = b"X-Name: " + b"a" * (200_000 if kind == "long" else 10) + b"\r\n"
    head = b'--x\r\nContent-Disposition: form-data; name="t1"; filename="a"\r\n' + line * (
        1 if kind == "long" else 20_000
    )
    answer = client.post(
        "/v1/jobs", content=head + b"\r\nx\r\n--x--\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code in (400, 413), answer.text
    assert not list((client.service.queue.files.root / "incoming").iterdir())
