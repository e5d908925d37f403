"""Errors that need no file content are reported before numpy or torch is imported."""

import subprocess
import sys

import numpy as np
import pytest

from brats_mm.errors import CaseError, OptionError, OutputError, VolumeError
from brats_mm.pipeline.check import check
from brats_mm.pipeline.request import make_request

RUN = """
import sys
from brats_mm.cli.main import main
code = main(sys.argv[1:])
heavy = {"torch", "monai", "numpy", "nibabel", "SimpleITK", "pydicom"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else code)
"""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--t1ce", "{tmp}/none.nii.gz"], "none.nii.gz does not exist. Check the name."),
        (["{tmp}/nowhere"], "nowhere does not exist. Provide a folder, or a zip file, of one case."),
        (["{tmp}/case", "-o", "{tmp}/full"], "already holds report.json. Choose another folder, or replace"),
        (["{tmp}/case", "--window", "100"], "The window side is 100"),
        (["{tmp}/case", "--device", "tpu"], "The device is 'tpu'"),
        (["{tmp}/case", "--deidentify"], "Add dicom, or omit deidentify"),
        ([], "No input was given."),
    ],
)
def test_errors_are_reported_before_heavy_imports(tmp_path, words, sentence):
    for folder in ("case", "full"):
        (tmp_path / folder).mkdir()
    (tmp_path / "full" / "report.json").touch()
    arguments = [word.format(tmp=tmp_path) for word in words]
    command = [sys.executable, "-c", RUN, "segment", "-o", str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()


def test_error_names_all_missing_files(tmp_path):
    with pytest.raises(VolumeError, match=r"a\.nii does not exist.*b\.nii does not exist"):
        check(make_request(t1=tmp_path / "a.nii", t2=tmp_path / "b.nii", output=tmp_path))


def test_missing_folder_is_missing_case(tmp_path):
    with pytest.raises(CaseError, match="does not exist"):
        check(make_request(tmp_path / "none", tmp_path / "out"))


def test_results_may_be_replaced_with_overwrite(tmp_path):
    (tmp_path / "segmentation.nii.gz").touch()
    image = (np.zeros((8, 8, 8)), np.eye(4))
    with pytest.raises(OutputError, match=r"already holds segmentation\.nii\.gz\. .*--overwrite"):
        check(make_request(t1=image, output=tmp_path))
    assert check(make_request(t1=image, output=tmp_path, overwrite=True)) == tmp_path


def test_registered_volumes_count_as_results(tmp_path):
    (tmp_path / "intermediate").mkdir()
    image = (np.zeros((8, 8, 8)), np.eye(4))
    assert check(make_request(t1=image, output=tmp_path)) == tmp_path
    with pytest.raises(OutputError, match="already holds intermediate"):
        check(make_request(t1=image, output=tmp_path, keep_intermediate=True))


def test_writing_needs_folder(tmp_path):
    with pytest.raises(OptionError, match="No output folder was given"):
        check(make_request(tmp_path))
