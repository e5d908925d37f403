"""A path of the input that the system refuses is reported as such, not as a fault of the output folder."""

import errno
import zipfile
from pathlib import Path

import pytest

from brats_mm.errors import CaseError, OutputError, ResourceError
from brats_mm.outputs.folder import OutputFolder
from brats_mm.pipeline import load as loading
from brats_mm.pipeline.inspect import inspect_input
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment


def test_overlong_name_of_input_is_named(tmp_path):
    given = tmp_path / ("z" * 300)
    for read in (inspect_input, lambda path: segment(make_request(path, tmp_path / "out"))):
        with pytest.raises(CaseError, match=r"z+ could not be accessed: File name too long"):
            read(given)
    assert not (tmp_path / "out").exists()


def test_locked_folder_of_input_is_named(head_folder, tmp_path, monkeypatch):
    """The tests may run as root, who may enter every folder."""

    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(loading, "is_dicom_folder", refuse)
    with pytest.raises(CaseError, match=f"{head_folder} could not be accessed: Permission denied"):
        segment(make_request(head_folder, tmp_path / "out"))


def test_full_temporary_folder_is_named(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as packed:
        packed.writestr("t1.nii.gz", b"x")

    def fill(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loading, "unpack", fill)
    with pytest.raises(ResourceError, match=r"temporary folder: No space left on device.*set TMPDIR"):
        segment(make_request(tmp_path / "case.zip", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (PermissionError(errno.EACCES, "Permission denied", "out/new/x.nii.gz"), OutputError),
        (PermissionError(errno.EACCES, "Permission denied", "/elsewhere/weights.pt"), PermissionError),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OSError),
    ],
)
def test_only_errors_of_the_folder_are_errors_of_the_output(tmp_path, monkeypatch, error, expected):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(expected) as caught, OutputFolder(Path("out")):
        raise error
    assert type(caught.value) is expected
