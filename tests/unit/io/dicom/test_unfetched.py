"""DICOM folders with broken links, or pointers of git-annex and Git LFS, in place of some slices."""

import zipfile

import numpy as np
import pytest

from brats_mm.errors import CaseError
from brats_mm.io.case_files import find_case
from brats_mm.io.volume import read_volume
from brats_mm.pipeline.dicom_study import choose_series, read_chosen
from brats_mm.pipeline.inspect import inspect_input
from tests.fakes.dicom_series import TYPICAL, write_series

GREY = np.random.default_rng(0).integers(1, 900, (16, 16, 12))
AFFINE = np.diag([2.0, 2, 5, 1])
POINTERS = {
    "annex": b"/annex/objects/SHA256E-s1--x.dcm\n",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
}


def unfetched(path, kind):
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to("../.git/annex/objects/x.dcm")
    else:
        path.write_bytes(POINTERS[kind])


@pytest.mark.parametrize("kind", ["link", "annex", "lfs"])
def test_missing_slices_raise_a_warning(tmp_path, kind):
    """The last slices of the series are missing, so the rest is a regular stack."""
    for path in write_series(tmp_path, GREY, AFFINE, TYPICAL["t1"])[-3:]:
        unfetched(path, kind)

    warning = read_chosen(choose_series(tmp_path)).warnings[0]

    assert warning.startswith("3 files of the folder were not fetched, so series may lack slices. Fetch the file")
    assert warning in inspect_input(tmp_path)["notes"]
    assert warning.rstrip(".") in read_volume(tmp_path).notes


def test_complete_folder_raises_no_warning(tmp_path):
    write_series(tmp_path, GREY, AFFINE, TYPICAL["t1"])
    (tmp_path / "notes.txt").write_text("Scanned on Monday.")

    assert choose_series(tmp_path).scan.warnings == ()


@pytest.mark.parametrize("kind", ["link", "annex", "lfs"])
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_folder_of_placeholders_asks_to_fetch_them(tmp_path, kind, suffix):
    for number in range(3):
        unfetched(tmp_path / f"IM{number}{suffix}", kind)

    with pytest.raises(CaseError, match=r"IM0.* is a broken link or a pointer .* Fetch the file, for example"):
        find_case(tmp_path)


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as packed:
        for file in folder.iterdir():
            packed.write(file, file.name)
    return path


@pytest.mark.parametrize("kind", ["annex", "lfs"])
def test_zip_of_placeholders_is_read_like_its_folder(tmp_path, kind):
    folder = tmp_path / "study"
    for path in write_series(folder, GREY, AFFINE, TYPICAL["t1"])[-3:]:
        unfetched(path, kind)
    notes = inspect_input(zipped(folder, tmp_path / "some.zip"))["notes"]
    assert any(note.startswith("3 files of the folder were not fetched") for note in notes)

    for path in folder.iterdir():
        unfetched(path, kind)
    with pytest.raises(CaseError, match=r"is a broken link or a pointer .* Fetch the file, for example"):
        inspect_input(zipped(folder, tmp_path / "none.zip"))
