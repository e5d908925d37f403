"""`--scene` writes the scene file with the images of the case."""

import zipfile

import pytest

from brats_mm.cli.parser import make_parser
from brats_mm.domain.options import OutputOptions
from brats_mm.inference.engine import WindowSettings
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment
from brats_mm.pipeline.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter(tiny_bundle):
    return Segmenter.from_bundle(tiny_bundle, device="cpu", settings=WindowSettings(window=(64, 64, 64)))


def test_scene_is_written_on_request(segmenter, head_folder, tmp_path):
    """With the two sequences of the case, its segments and its uncertainty."""
    files = {
        "t1ce": head_folder / "BraTS-GLI-00000-000-t1c.nii.gz",
        "flair": head_folder / "BraTS-GLI-00000-000-t2f.nii.gz",
    }
    result = segment(make_request(files, tmp_path / "out", scene=True, preview=False), segmenter)
    assert tmp_path / "out" / "scene.mrb" in result.files
    with zipfile.ZipFile(tmp_path / "out" / "scene.mrb") as archive:
        assert archive.testzip() is None
        names = {name.removeprefix("BraTS-MM/") for name in archive.namelist()}
    assert {
        "BraTS-MM.mrml",
        "Data/T1ce.nrrd",
        "Data/FLAIR.nrrd",
        "Data/Segmentation.seg.nrrd",
        "Data/Uncertainty.nrrd",
        "Data/UncertaintyColours.ctbl",
    } <= names
    assert not names & {"Data/T1.nrrd", "Data/T2.nrrd"}


def test_scene_is_not_written_by_default(tmp_path):
    assert not make_parser().parse_args(["segment", "x", "-o", "y"]).scene
    assert make_parser().parse_args(["segment", "x", "-o", "y", "--scene"]).scene
    assert "scene.mrb" not in OutputOptions().names(frozenset())
