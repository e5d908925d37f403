"""`brats-mm inspect` and `brats-mm segment` on a synthetic DICOM study, from the command line to the files."""

import importlib.util
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_mm.cli.main import main
from brats_mm.data.phantom.head import make_phantom
from tests.fakes.dicom_series import TYPICAL, with_number, write_series

SHAPE = (64, 72, 56)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T1ce and FLAIR of a synthetic, skull-stripped head, on one grid."""
    folder = tmp_path_factory.mktemp("study")
    for modality, volume in make_phantom(3, SHAPE).images.items():
        if modality.value in ("t1ce", "flair"):
            data = np.clip(np.rint(volume.data - volume.data.min()), 0, 60000)
            write_series(folder / modality.value, data, volume.grid.affine, TYPICAL[modality.value])
    return folder


def test_inspect_shows_series_choice_and_geometry(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["inspect", str(study)])
    message = capsys.readouterr().out

    assert code == 0
    assert "missing  T1, T2" in message
    assert "All chosen sequences have the same grid" in message
    assert "TI 2500 ms" in message


def test_inspect_exits_with_2_when_segment_would_fail(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (4, 8):
        write_series(tmp_path, np.arange(8 * 8 * 10).reshape(8, 8, 10), np.eye(4), with_number(TYPICAL["t2"], number))
    code = main(["inspect", str(tmp_path), "--json"])
    out = capsys.readouterr()

    assert code == 2
    assert "T2 could be" in json.loads(out.out)["problems"][0]
    assert "segment would stop" in out.err


def test_segment_accepts_study(study: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    code = main(
        ["segment", str(study), "-o", str(tmp_path / "out"), "--bundle", str(tiny_bundle), "--window", "64", "-q"]
    )
    report = json.loads((tmp_path / "out" / "report.json").read_text())

    assert code == 0
    assert report["sequences_found"] == ["t1ce", "flair"]
    assert nib.load(tmp_path / "out" / "segmentation.nii.gz").shape == SHAPE
    assert "Gd" not in json.dumps(report)


def test_rejects_study_option_without_dicom(made_head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(made_head), "-o", "out", "--study", "1.2"]) == 2
    assert "--study needs DICOM input" in capsys.readouterr().err


def test_missing_pydicom_error_names_package(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert main(["segment", str(study), "-o", "out"]) == 2
    assert 'pip install "brats-mm[dicom]"' in capsys.readouterr().err
