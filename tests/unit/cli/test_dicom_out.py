"""`brats-mm segment --dicom` writes DICOM objects next to the other files, and a patient's name only into them."""

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from brats_mm.cli.main import main
from brats_mm.data.phantom.head import make_phantom
from tests.fakes.dicom_series import TYPICAL, write_series

NAMES = ("Zwackelmann", "Petronella", "PAT-4711")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for modality, volume in make_phantom(3, (56, 64, 48)).images.items():
        if modality.value in ("t1ce", "flair"):
            extra = {"PatientName": "Zwackelmann^Petronella", "PatientID": "PAT-4711"}
            facts = replace(TYPICAL[modality.value], extra=extra)
            write_series(folder / modality.value, np.clip(volume.data, 0, 4000), volume.grid.affine, facts)
    return folder


def test_objects_are_written_and_only_they_hold_names(study, tiny_bundle, tmp_path, capsys, caplog, recwarn):
    out = tmp_path / "out"
    arguments = [
        "segment",
        str(study),
        "-o",
        str(out),
        "--dicom",
        "--report",
        "--bundle",
        str(tiny_bundle),
        "--window",
        "64",
    ]
    assert main([*arguments, "--device", "cpu", "--prepared"]) == 0
    segmentation = pydicom.dcmread(out / "dicom" / "segmentation.dcm")
    assert segmentation.PatientName == "Zwackelmann^Petronella"
    message = capsys.readouterr()
    texts = [message.out, message.err, caplog.text, *(str(one.message) for one in recwarn)]
    for name in NAMES:
        assert not any(name in text for text in texts), name
        for path in out.rglob("*"):
            if path.is_file() and path.suffix != ".dcm":
                assert name.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dicom"], "DICOM results need a DICOM series"),
        (["--deidentify"], "Add dicom"),
    ],
)
def test_missing_requirements_are_reported_before_loading(head_folder, tmp_path, capsys, arguments, said):
    assert main(["segment", str(head_folder), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_study_uses_its_own_reference(study, tmp_path, capsys):
    arguments = [
        "segment",
        str(study),
        "-o",
        str(tmp_path / "out"),
        "--dicom",
        "--dicom-reference",
        str(study / "t1ce"),
    ]
    assert main(arguments) == 2
    assert "--reference t1ce" in capsys.readouterr().err


def test_other_results_are_kept_when_dicom_results_fail(study, tiny_bundle, tmp_path, capsys, monkeypatch):
    """Exit code 2, and a warning in the report."""

    def refuse(*_):
        raise ValueError

    from brats_mm.outputs.dicom import parametric_map

    tried = parametric_map.make_entropy_map
    monkeypatch.setattr(
        parametric_map, "make_entropy_map", lambda f, s, p: refuse() if f.entropy.any() else tried(f, s, p)
    )
    out = tmp_path / "out"
    arguments = ["segment", str(study), "-o", str(out), "--dicom", "--bundle", str(tiny_bundle), "--window", "64"]
    assert main([*arguments, "--device", "cpu", "--prepared"]) == 2
    report = json.loads((out / "report.json").read_text())
    assert report["dicom_results_written"] is False
    assert report["warnings"][-1].startswith("The DICOM results were not written.")
    assert (out / "segmentation.nii.gz").is_file()
    assert not (out / "dicom").exists()
    assert "The DICOM results were not written." in capsys.readouterr().err
