"""Write the report page with a result, or later from its files, with and without images."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from brats_mm import Segmenter
from brats_mm.cli.main import main
from brats_mm.errors import GridError, OptionError, OutputError
from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.report import write_report
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment


def two(folder):
    return {
        "t1ce": str(folder / "BraTS-GLI-00000-000-t1c.nii.gz"),
        "flair": str(folder / "BraTS-GLI-00000-000-t2f.nii.gz"),
    }


@pytest.fixture(scope="module")
def made(tiny_bundle, made_head, tmp_path_factory):
    segmenter = Segmenter.from_bundle(
        tiny_bundle, device="cpu", backend="torch", settings=WindowSettings(window=(64, 64, 64))
    )
    folder = tmp_path_factory.mktemp("made") / "result"
    return segment(make_request(two(made_head), folder, report=True, preview=False), segmenter)


@pytest.fixture
def result(made, tmp_path):
    """A copy of the result without its page."""
    folder = shutil.copytree(made.files[0].parent, tmp_path / "result")
    (folder / "report.html").unlink()
    return folder


def pictures(page):
    return page.count("<img")


def test_segment_writes_page_on_request(made):
    page = next(path for path in made.files if path.name == "report.html").read_text()
    assert "2 of 4 sequences were missing: T1 and T2." in page
    assert "the largest area, on T1ce" in page
    assert "BraTS-GLI" not in page


def test_prediction_from_files_can_be_viewed_in_notebook(made):
    pytest.importorskip("ipyniivue")
    assert made.prediction.view().volumes[0].name == "t1ce.nii.gz"


def test_page_from_result_and_images_equals_page_of_segment(made, result, made_head):
    page = write_report(result, case=made_head).read_text()
    assert "the largest area, on FLAIR" in page
    assert "Outlines on T2" not in page  # present in the folder, but not used
    assert pictures(page) == pictures((made.files[0].parent / "report.html").read_text())


def test_result_alone_gives_page_on_plain_background(result):
    assert "images were not available" in write_report(result).read_text()


def test_page_is_replaced_only_with_overwrite(result):
    write_report(result)
    with pytest.raises(OutputError, match=r"report\.html already exists.*--overwrite"):
        write_report(result)
    write_report(result, overwrite=True)


def test_rejects_images_of_other_geometry(result, head_folder):
    for path in head_folder.iterdir():
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[:-4], image.affine), path)
    with pytest.raises(GridError, match=r"images \(60 x 72 x 56 voxels\) .*\(64 x 72 x 56.*--case"):
        write_report(result, case=head_folder)
    assert not (result / "report.html").exists()


def test_rejects_images_that_were_not_used(result, head_folder):
    for path in head_folder.iterdir():
        if "t2w" not in path.name:
            path.unlink()
    with pytest.raises(OptionError, match=r"has T2, but the result .* used"):
        write_report(result, case=head_folder)


def test_raw_case_shows_reference_and_registered_scans(result, made_head):
    """FLAIR is the reference. The raw T1ce is 40 mm away, and the result holds it registered."""
    report = json.loads((result / "report.json").read_text())
    report["preparation"] = {"kind": "raw", "evidence": [], "reference": "flair", "reference_reason": "", "steps": []}
    (result / "report.json").write_text(json.dumps(report))
    t1ce = made_head / "BraTS-GLI-00000-000-t1c.nii.gz"
    shutil.copy(t1ce, result / "registered_t1ce.nii.gz")
    raw = result.parent / "raw"
    raw.mkdir()
    shutil.copy(made_head / "BraTS-GLI-00000-000-t2f.nii.gz", raw / "flair.nii.gz")
    affine = nib.load(t1ce).affine.copy()
    affine[:3, 3] += 40
    nib.save(nib.Nifti1Image(np.asarray(nib.load(t1ce).dataobj)[:-4], affine), raw / "t1ce.nii.gz")
    page = write_report(result, case=raw).read_text()
    assert "on FLAIR" in page
    assert "on T1ce" in page
    without = write_report(result, result / "again.html").read_text()
    assert "on T1ce" in without
    assert "on FLAIR" not in without


def test_rejects_folder_without_result(tmp_path):
    with pytest.raises(OptionError, match=r"report\.json cannot be read .*Use a folder written by `brats-mm segment`"):
        write_report(tmp_path)


def test_rejects_result_of_other_version(result):
    report = json.loads((result / "report.json").read_text())
    (result / "report.json").write_text(json.dumps({**report, "report_version": 1}))
    with pytest.raises(OptionError, match=r"report version 1,.*Segment the case again"):
        write_report(result)


def test_command_prints_page_path_and_writes_given_name(result, made_head, tmp_path, capsys):
    page = tmp_path / "pages" / "case7.html"
    arguments = ["report", str(result), "--case", str(made_head), "--name", "Case <7>", "-o", str(page), "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"page": str(page)}
    assert "Case &lt;7&gt;" in page.read_text()
