"""One command converts a folder of raw DICOM, made from real scans, to a SEG aligned with the original series."""

import json
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest

from brats_mm.cli.main import main
from brats_mm.domain.modality import Modality
from brats_mm.io.recognise import recognise
from tests.fakes.dicom_series import TYPICAL, make_slices

pytestmark = pytest.mark.real
NAME = "Zwackelmann^Petronella"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def multi_grid_case(folder: Path) -> dict[Modality, Path]:
    """Return the first case with sequences on different grids."""
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = {modality: Path(path) for modality, path in recognise(case).paths.items()}
        if len({nib.load(path).shape for path in files.values()}) > 1:
            return files
    pytest.skip("no case with sequences on different grids")


def export(folder: Path, files: dict[Modality, Path]) -> None:
    """Write classic MR files in one folder, in random order, with uninformative names."""
    folder.mkdir()
    actual = []
    for modality, path in files.items():
        image = nib.load(path)
        facts = replace(TYPICAL[modality.value], extra={"PatientName": NAME})
        actual += make_slices(np.asarray(image.dataobj), image.affine, facts)
    for number, index in enumerate(np.random.default_rng(0).permutation(len(actual))):
        actual[index].save_as(folder / f"IM{number:05d}", enforce_file_format=True)


@pytest.fixture(scope="module")
def done(real_cases, tmp_path_factory):
    """Folders of the study and of the results after the command."""
    place = tmp_path_factory.mktemp("scanner")
    export(place / "study", multi_grid_case(real_cases))
    options = ["--dicom", "--keep-intermediate", "--device", "cpu", "-q"]
    assert main(["segment", str(place / "study"), "-o", str(place / "result"), *options]) == 0
    return place


@pytest.fixture(scope="module")
def reference(done):
    """Headers of the reference series by SOP Instance UID."""
    report = json.loads((done / "result" / "report.json").read_text("utf-8"))
    assert report["preparation"]["kind"] == "raw"
    requested = TYPICAL[report["preparation"]["reference"]].series_uid
    result = [pydicom.dcmread(path) for path in (done / "study").iterdir()]
    return {str(one.SOPInstanceUID): one for one in result if one.SeriesInstanceUID == requested}


@pytest.fixture(scope="module")
def segmentation(done):
    return hd.seg.segread(done / "result" / "dicom" / "segmentation.dcm")


def test_segmentation_references_patient_study_and_series(segmentation, reference):
    one = next(iter(reference.values()))
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert segmentation[keyword].value == one[keyword].value, keyword
    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == one.SeriesInstanceUID
    assert {str(item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence} <= set(reference)


def test_every_frame_is_on_its_source_slice(segmentation, reference):
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    turned = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert segmentation.NumberOfFrames > 0
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        source = reference[str(image.ReferencedSOPInstanceUID)]
        assert group.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
        np.testing.assert_allclose(np.array(turned, float), np.array(source.ImageOrientationPatient, float), atol=1e-6)
        assert (segmentation.Rows, segmentation.Columns) == (source.Rows, source.Columns)


def test_highdicom_reads_same_voxels_and_positions_as_nifti(done, segmentation, reference):
    series = hd.get_volume_from_series(list(reference.values()))
    volume = segmentation.get_volume(combine_segments=True).match_geometry(series)
    labels = nib.load(done / "result" / "segmentation.nii.gz")
    expected = np.asarray(labels.dataobj)
    where = np.argwhere(expected)
    assert len(where) > 100, "there is a tumour to speak of"
    in_patient = LPS @ labels.affine @ np.c_[where, np.ones(len(where))].T
    voxels = np.linalg.inv(volume.affine) @ in_patient
    at = np.rint(voxels[:3]).astype(int)
    np.testing.assert_allclose(voxels[:3], at, atol=0.01)
    assert np.array_equal(volume.array[tuple(at)], expected[tuple(where.T)])
    assert np.count_nonzero(volume.array) == len(where)


def test_tumour_is_where_registered_flair_is_bright(done, segmentation):
    """Independent check of the position. The patient moved between the series, so FLAIR is registered first."""
    image = nib.load(done / "result" / "intermediate" / "flair_registered.nii.gz")
    flair = image.get_fdata(dtype=np.float32)
    brain = np.median(flair[np.asarray(nib.load(done / "result" / "intermediate" / "brain_mask.nii.gz").dataobj) > 0])
    volume = segmentation.get_volume(combine_segments=True)
    where = np.argwhere(volume.array)
    voxels = np.linalg.inv(LPS @ image.affine) @ volume.affine @ np.c_[where, np.ones(len(where))].T
    assert float(np.median(flair[tuple(np.rint(voxels[:3]).astype(int))])) > 1.15 * brain


def test_patient_name_is_only_in_dicom_objects(done):
    for path in (done / "result").rglob("*"):
        if path.is_file() and path.suffix != ".dcm":
            assert b"Zwackelmann" not in path.read_bytes(), path.name
