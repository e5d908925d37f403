"""DICOM results of a case: their series, UIDs and names, and no names in other files."""

import logging
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import GridError, OptionError
from brats_mm.outputs.dicom.results import DicomOutput, NamedReference, read_named_reference, write_dicom
from brats_mm.outputs.folder import OutputFolder
from tests.fakes.dicom_results import made_source, prediction_on, turned
from tests.fakes.dicom_series import TYPICAL, with_number, write_series

AXIAL = turned((0, 1, 2), (-1, -1, 1))
PRESETS = replace(TYPICAL["t1ce"], extra={"PatientName": "Zwackelmann", "InstitutionName": "St. Elsewhere"})


def written(folder, prediction, requested):
    with OutputFolder(folder) as out:
        write_dicom(prediction, out, requested)
    stems = ["segmentation", "entropy", "report", *(["structures"] if requested.rtstruct else [])]
    names = [f"{requested.folder}{stem}.dcm" for stem in stems]
    return {name: pydicom.dcmread(folder / name) for name in names}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return made_source(tmp_path_factory.mktemp("series"), AXIAL, (9, 8, 5), facts=PRESETS)


def prediction_of(source):
    return prediction_on(source.grid, np.ones(source.grid.shape))


def test_equal_results_have_equal_uids_and_different_results_differ(source, tmp_path):
    prediction, requested = prediction_of(source), DicomOutput({Modality.T1CE: source})
    first = written(tmp_path / "a", prediction, requested)
    second = written(tmp_path / "b", prediction, requested)
    corrected = SubsetCalibration(
        1, {prediction.case.available: dict.fromkeys(REGIONS, Correction(foreground_temperature=2.0))}
    )
    others = [
        written(tmp_path / name, replace(prediction, model=replace(prediction.model, **change)), requested)
        for name, change in (("c", {"weights_sha256": "cd" * 32}), ("d", {"calibration": corrected}))
    ]
    uids = [{one.SOPInstanceUID for one in result.values()} for result in (first, second, *others)]
    assert uids[0] == uids[1]
    assert len(uids[0]) == 3
    assert len(uids[0] | uids[2] | uids[3]) == 9


def test_results_reference_series_with_their_voxels(source, tmp_path):
    """If the first sequence was registered to another, the results reference that other series."""
    far = replace(source, grid=Grid(source.grid.shape, source.grid.affine @ np.diag([1.1, 1, 1, 1])))
    prediction = prediction_on(source.grid, np.ones(source.grid.shape), (Modality.T1, Modality.T1CE))
    result = written(tmp_path / "a", prediction, DicomOutput({Modality.T1: far, Modality.T1CE: source}))
    segmentation = result["dicom/segmentation.dcm"]
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == source.images[0].SeriesInstanceUID


def test_deidentified_results_have_no_names_uids_or_dates_of_patient(source, tmp_path):
    pytest.importorskip("dicomanonymizer")
    requested = DicomOutput({Modality.T1CE: source}, deidentify=True, rtstruct=True)
    result = written(tmp_path / "a", prediction_of(source), requested)
    assert "dicom/structures.dcm" in result
    image = source.images[0]
    for name, one in result.items():
        content = (tmp_path / "a" / name).read_bytes()
        for secret in ("Zwackelmann", "Elsewhere", "20200101", "19700101", image.StudyInstanceUID, image.PatientID):
            assert secret.encode() not in content, (name, secret)
        for image_ in source.images:
            assert image_.SOPInstanceUID.encode() not in content
        assert one.PatientIdentityRemoved == "YES"
        assert one.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert one.PatientID.startswith("ANON-")
    assert len({one.StudyInstanceUID for one in result.values()}) == 1
    assert len({one.PatientID for one in result.values()}) == 1
    segmentation, report = result["dicom/segmentation.dcm"], result["dicom/report.dcm"]
    assert segmentation.SOPInstanceUID in str(report)
    again = written(tmp_path / "b", prediction_of(source), requested)
    assert again["dicom/segmentation.dcm"].StudyInstanceUID != segmentation.StudyInstanceUID
    assert source.images[0].PatientName == "Zwackelmann"


def test_warnings_do_not_quote_unusual_names(source, tmp_path, recwarn, caplog):
    """The DICOM library quotes names of one part in its warnings."""
    with caplog.at_level(logging.DEBUG):
        written(tmp_path / "a", prediction_of(source), DicomOutput({Modality.T1CE: source}))
    assert not [one for one in recwarn if "Zwackelmann" in str(one.message)]
    assert "Zwackelmann" not in caplog.text


def series_folder(folder, values, affine=AXIAL):
    write_series(folder, values, affine, TYPICAL["t1ce"])
    return read_named_reference(folder)


def test_accepts_reference_series_with_reoriented_voxels(tmp_path):
    data = np.random.default_rng(0).integers(1, 999, (10, 9, 8))
    named = series_folder(tmp_path / "series", data)
    flipped = named.source.grid.affine.copy()
    flipped[:3, 3] += flipped[:3, 0] * 9
    flipped[:3, 0] *= -1
    grid = Grid((10, 9, 8), flipped)
    prediction = prediction_on(grid, data[::-1])
    result = written(tmp_path / "out", prediction, DicomOutput(named=named))
    segmentation = result["dicom/segmentation.dcm"]
    oedema = [
        pixels
        for pixels, group in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True)
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 2
    ]
    a_column = (prediction.labels()[::-1] == 2).sum(axis=(1, 2))
    assert np.sum(oedema, axis=(0, 1)).tolist() == a_column.tolist()


def test_reference_series_on_other_grid_must_show_same_image(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.add.outer(np.arange(20.0) ** 2, 10 * np.arange(18.0)), 30 * np.arange(12.0)) + 1
    affine = turned((0, 1, 2), (-1, -1, 1), (2, 2, 2))
    named = series_folder(tmp_path / "series", smooth, affine)
    half = affine.copy()
    half[:3, :3] = affine[:3, :3] * 1.5
    half[:3, 3] += affine[:3, :3] @ [1, 1, 1]
    x, y, z = (1 + 1.5 * np.arange(side) for side in (11, 10, 6))
    same = np.add.outer(np.add.outer(x**2, 10 * y), 30 * z) + 1
    ras = np.diag([1.0, 1.0, 1.0, 1.0]) @ half
    good = prediction_on(Grid((11, 10, 6), ras), same)
    result = written(tmp_path / "out", good, DicomOutput(named=named))
    assert result["dicom/segmentation.dcm"].Rows == 18
    other = prediction_on(good.case.grid, rng.random((11, 10, 6)) + 1)
    with pytest.raises(GridError, match="does not show the segmented image"):
        written(tmp_path / "bad", other, DicomOutput(named=named))
    cut = named.source.grid
    part = NamedReference(
        replace(named.source, grid=Grid((20, 18, 3), cut.affine)),
        Volume(named.volume.data[:, :, :3], Grid((20, 18, 3), cut.affine)),
    )
    with pytest.raises(GridError, match=r"shows only \d+% of the tumour"):
        written(tmp_path / "cut", good, DicomOutput(named=part))


def test_rejects_reference_with_two_series(tmp_path):
    data = np.ones((6, 5, 4))
    write_series(tmp_path, data, AXIAL, TYPICAL["t1"])
    write_series(tmp_path, data, AXIAL, with_number(TYPICAL["t2"], 9))
    with pytest.raises(OptionError, match="holds 2 series"):
        read_named_reference(tmp_path)
