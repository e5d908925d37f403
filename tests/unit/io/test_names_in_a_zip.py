"""Unpacked files have safe names that are read as the same sequences."""

import zipfile
from pathlib import Path

import pytest

from brats_mm.io.case_files import find_case
from brats_mm.io.zip import ZipError, unpack


def test_names_in_zip_keep_their_sequence(tmp_path):
    """Letters outside ASCII, signs and stars can identify the sequence of a file."""
    names = (
        "p/患者_T1造影.nii.gz",
        "p/T1 (C-).nii.gz",
        "p/T2*.nii.gz",
        "p/tête_FLAIR.nii.gz",
        f"p/{'造' * 200}_T2.nii.gz",
    )
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as packed:
        for name in names:
            packed.writestr(name, b"")
    case = find_case(unpack(tmp_path / "case.zip", tmp_path / "out").folder)

    assert {m.value: Path(path).name[:7] for m, path in case.paths.items()} == {
        "t1": "T1 (C-)",
        "t1ce": "患者_T1造影",
        "t2": "造" * 7,
        "flair": "tête_FL",
    }
    assert "susceptibility" in case.ignored["T2star.nii.gz"]


@pytest.mark.parametrize("names", [("x.nii.gz", "x.nii.gz/y.nii.gz"), ("x.nii.gz/y.nii.gz", "x.nii.gz")])
def test_rejects_file_and_folder_of_one_name(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as packed:
        for name in names:
            packed.writestr(name, b"x")
    with pytest.raises(ZipError, match="with the same name"):
        unpack(tmp_path / "case.zip", tmp_path / "out")
