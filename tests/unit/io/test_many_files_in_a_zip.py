"""A zip of thousands of small files is handled in seconds."""

import time
import zipfile

import pytest

from brats_mm.errors import CaseError
from brats_mm.io.case_files import find_case
from brats_mm.io.dicom.scan import scan
from brats_mm.io.zip import ZipError, unpack

pytestmark = pytest.mark.slow

COUNT = 19_000
CPU_S = 60.0
"""Processor time allowed. A quiet machine takes about 4 s for DICOM and less than 1 s for the others, and one that shares
its caches with many programs several times as long. Work that grows with the square of the files takes minutes."""

DICOM = bytes(128) + b"DICM" + bytes(20)


def _archive(path, name, content, count=COUNT):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"case/{name.format(number)}", content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [("{}.nii.gz", b"x", "19,000 volume files"), ("{}.txt", b"x", "none is a volume or DICOM"), ("{}", b"", "none is")],
    ids=["volumes", "text", "empty"],
)
def test_rejects_thousands_of_other_files_quickly(name, content, what, tmp_path):
    archive = _archive(tmp_path / "case.zip", name, content)
    start = time.process_time()
    with pytest.raises(ZipError, match=what):
        unpack(archive, tmp_path / "out")
    took_s = time.process_time() - start
    print(f"{COUNT} files: {took_s:.1f} s of processor time")  # noqa: T201
    assert took_s < CPU_S
    assert list((tmp_path / "out").iterdir()) == []


def test_thousands_of_dicom_files_take_seconds(tmp_path):
    archive = _archive(tmp_path / "case.zip", "{}.dcm", DICOM)
    start = time.process_time()
    unpacked = unpack(archive, tmp_path / "out")
    with pytest.raises(CaseError, match=f"{COUNT} of its files: it is not a DICOM image"):
        scan(unpacked.folder)
    took_s = time.process_time() - start
    print(f"{COUNT} DICOM files: {took_s:.1f} s of processor time")  # noqa: T201
    assert took_s < CPU_S


def test_files_next_to_dicom_are_reported_and_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as archive:
        for name, content in {"a/1": DICOM, "a/notes.txt": b"x", "a/2": DICOM, "a/more.txt": b"y"}.items():
            archive.writestr(name, content)
    unpacked = unpack(tmp_path / "case.zip", tmp_path / "out")
    assert unpacked.is_dicom
    assert unpacked.passed_over == {"a/notes.txt and 1 more": "it is not DICOM"}
    assert sorted(path.name for path in unpacked.folder.iterdir()) == ["000000_1", "000001_2"]


def test_rejects_folder_with_thousands_of_volumes(tmp_path):
    for number in range(2001):
        (tmp_path / f"{number}_t1.nii.gz").touch()
    with pytest.raises(CaseError, match="holds 2,001 volume files"):
        find_case(tmp_path)
