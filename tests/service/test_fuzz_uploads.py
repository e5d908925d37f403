"""Thousands of damaged files: each is accepted or refused with a sentence.

BRATS_MM_MUTATIONS sets the number of files per kind (default: 150).
"""

import gzip
import io
import os
import random
import shutil
import zipfile

import nibabel as nib
import numpy as np
import pytest

from brats_mm.errors import InputError
from brats_mm.io.bundle import compute_sha256
from brats_mm.io.volume import read_volume
from brats_mm_service.problems import Problem
from brats_mm_service.settings import UploadLimits
from brats_mm_service.uploads.intake import sort_upload
from brats_mm_service.uploads.multipart import ReceivedFile
from tests.fakes.serving import serving, small_settings

pytestmark = pytest.mark.slow

MUTATIONS = int(os.environ.get("BRATS_MM_MUTATIONS", "150"))
LIMITS = UploadLimits(unpacked_bytes=2**24, zip_entries=50)
SHAPE = (12, 11, 10)


def volume():
    return np.random.default_rng(0).integers(0, 500, SHAPE).astype(np.int16)


def nifti():
    return nib.Nifti1Image(volume(), np.diag([1.0, 1.0, 2.0, 1.0])).to_bytes()


def nrrd(encoding="raw"):
    data = volume().tobytes(order="F")
    head = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {' '.join(map(str, SHAPE))}\n"
        "space directions: (1,0,0) (0,1,0) (0,0,2)\nkinds: domain domain domain\nendian: little\n"
        f"encoding: {encoding}\nspace origin: (0,0,0)\n\n"
    )
    return head.encode() + (gzip.compress(data) if encoding == "gzip" else data)


def metaimage():
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        f"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\nDimSize = "
        f"{' '.join(map(str, SHAPE))}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return head.encode() + volume().tobytes(order="F")


def archive():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as result:
        result.writestr("case/a_t1.nii.gz", gzip.compress(nifti()))
        result.writestr("case/a_flair.nii", nifti())
        result.writestr("case/notes.txt", "x")
    return packed.getvalue()


KINDS = {
    "nifti": ("t1", "t1.nii", nifti, 352),
    "nifti-gzip": ("t1", "t1.nii.gz", lambda: gzip.compress(nifti(), 1), 200),
    "nrrd": ("t1", "t1.nrrd", nrrd, 260),
    "nrrd-gzip": ("t1", "t1.nrrd", lambda: nrrd("gzip"), 260),
    "metaimage": ("t1", "t1.mha", metaimage, 280),
    "zip": ("case", "case.zip", archive, 100),
}


def corrupted(content, head, chance):
    """Return content with one to eight random changes, mostly in the header, or for zip files in the directory."""
    raw = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        if not raw:
            return b""
        end = chance.choice([head, head, len(raw)])
        at = chance.randrange(max(1, min(end, len(raw))))
        if chance.random() < 0.3:
            at = max(0, len(raw) - 1 - chance.randrange(200))
        kind = chance.randrange(6)
        if kind == 0:
            raw[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            raw[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, 0x2D, 0x39, 0x2F])
        elif kind == 2:
            extreme = chance.choice([0, -1, 2**31 - 1, -(2**31), 2**15 - 1, 2**16])
            raw[at : at + 4] = extreme.to_bytes(4, "little", signed=True)
        elif kind == 3:
            del raw[at : at + chance.randint(1, 64)]
        elif kind == 4:
            raw[at:at] = raw[chance.randrange(len(raw)) :][: chance.randint(1, 64)]
        elif chance.random() < 0.2:
            del raw[at:]
    return bytes(raw)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_is_accepted_or_rejected_with_error(kind, tmp_path):
    field, name, make, head = KINDS[kind]
    chance, content = random.Random(kind), make()
    refused = 0
    for number in range(MUTATIONS):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "part-1"
        path.write_bytes(content if number == 0 else corrupted(content, head, chance))
        file = ReceivedFile(field, name, path, path.stat().st_size, compute_sha256(path))
        problem = None
        try:
            upload = sort_upload((file,), folder, LIMITS)
            for stored in upload.sequences.values():
                read_volume(folder / stored)  # as in the worker
        except Problem as reported:
            problem = reported
        except InputError:  # rejected by the worker, so the job fails with this message
            refused += 1
        if problem is not None:
            assert 400 <= problem.status < 500
            assert problem.detail.endswith(".")
            assert str(tmp_path) not in problem.detail
            refused += 1
        assert number > 0 or refused == 0, "the unspoilt file is good"
        shutil.rmtree(folder)
    print(f"{kind}: {MUTATIONS} damaged files, {refused} refused with a sentence, 0 other errors")  # noqa: T201
    assert refused > MUTATIONS // 10


def test_damaged_files_never_cause_server_errors(tmp_path):
    chance = random.Random(7)
    with serving(small_settings(tmp_path)) as client:
        for number in range(max(20, MUTATIONS // 4)):
            field, name, make, head = KINDS[chance.choice(list(KINDS))]
            answer = client.post("/v1/jobs", files={field: (name, corrupted(make(), head, chance))})
            assert answer.status_code in (202, 400, 413, 415, 422, 429), (number, answer.text)
            assert "Traceback" not in answer.text
        assert client.get("/healthz").status_code == 200
