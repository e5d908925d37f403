"""RT Structure Sets: contours hold exactly the voxels of the segmentation, on the slices of the source."""

import time
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from matplotlib.path import Path as Polygon

from brats_mm.domain.display import format_percent, format_percents
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region
from brats_mm.outputs.dicom.contours import trace_outlines
from brats_mm.outputs.dicom.findings import compute_findings
from brats_mm.outputs.dicom.objects import Provenance
from brats_mm.outputs.dicom.results import DicomOutput, write_dicom
from brats_mm.outputs.dicom.structure_set import make_structure_set
from brats_mm.outputs.folder import OutputFolder
from brats_mm.trust.fit import fit_profile
from tests.fakes.dicom_results import made_source, prediction_on, turned
from tests.fakes.trust_records import made_records

AFFINES = {
    "axial": turned((0, 1, 2), (-1, -1, 1)),
    "sagittal": turned((1, 2, 0), (-1, -1, 1)),
    "oblique": turned((0, 1, 2), (-1, -1, 1), angles=(0.2, 0.1)),
}


def drawn(points, shape):
    """Return the voxel centres inside a polygon by the even-odd rule."""
    rows, columns = np.indices(shape)
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return Polygon(np.concatenate([points, points[:1]]), closed=True).contains_points(centres).reshape(shape)


def rasterised(structures, number, grid):
    """Return the voxels of a structure: contour points mapped to the grid and filled on their slice."""
    mask = np.zeros(grid.shape, bool)
    roi = next(one for one in structures.ROIContourSequence if one.ReferencedROINumber == number)
    for contour in roi.get("ContourSequence", []):
        points = np.array(contour.ContourData, float).reshape(-1, 3) * (-1, -1, 1)
        assert len(points) == contour.NumberOfContourPoints
        indices = (np.c_[points, np.ones(len(points))] @ np.linalg.inv(grid.affine).T)[:, :3]
        place = round(indices[0, 2])
        assert np.abs(indices[:, 2] - place).max() < 0.001
        mask[:, :, place] ^= drawn(indices[:, :2], grid.shape[1::-1]).T
    return mask


@pytest.mark.parametrize("enhanced", [False, True], ids=["single frames", "multi-frame"])
@pytest.mark.parametrize("name", AFFINES)
def test_contours_hold_exactly_voxels_of_each_region(name, enhanced, tmp_path):
    source = made_source(tmp_path, AFFINES[name], enhanced=enhanced)
    findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
    result = make_structure_set(findings, source, Provenance("k"))
    result.save_as(tmp_path / "structures.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "structures.dcm")
    requested = {1: findings.labels > 0, 2: np.isin(findings.labels, (1, 3)), 3: findings.labels == 3}
    names = [one.ROIName for one in read.StructureSetROISequence]
    assert names == [region.label.capitalize() for region in (Region.WT, Region.TC, Region.ET)]
    for number, mask in requested.items():
        assert mask.any()
        np.testing.assert_array_equal(rasterised(read, number, source.grid), mask)


def test_each_contour_references_image_of_its_slice(tmp_path):
    source = made_source(tmp_path, AFFINES["axial"])
    findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
    result = make_structure_set(findings, source, Provenance("k"))
    heights = {image.SOPInstanceUID: float(image.ImagePositionPatient[2]) for image in source.images}
    for contour in result.ROIContourSequence[0].ContourSequence:
        shown = contour.ContourImageSequence[0]
        assert float(contour.ContourData[2]) == pytest.approx(heights[shown.ReferencedSOPInstanceUID], abs=0.001)
        assert shown.ReferencedSOPClassUID == source.images[0].SOPClassUID
    frame = result.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == source.images[0].FrameOfReferenceUID
    listed = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert listed.SeriesInstanceUID == source.images[0].SeriesInstanceUID
    assert len(listed.ContourImageSequence) == len(source.images)


def test_empty_region_has_name_and_no_contours(tmp_path):
    source = made_source(tmp_path, AFFINES["axial"])
    findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
    empty = replace(findings, labels=np.zeros_like(findings.labels))
    result = make_structure_set(empty, source, Provenance("k"))
    assert len(result.StructureSetROISequence) == 3
    assert all("ContourSequence" not in one for one in result.ROIContourSequence)


@pytest.fixture
def doubtful(tmp_path):
    """A source and a prediction whose enhancing tumour is unreliable (0.51 inside) and whose input has a warning."""
    source = made_source(tmp_path / "series", AFFINES["axial"])
    prediction = replace(prediction_on(source.grid, np.ones(source.grid.shape)), warnings=("T1 looks like a mask.",))
    prediction.probabilities[Region.ET][:] = np.where(prediction.mask(Region.ET), 0.51, 0.48)
    return source, prediction


def test_descriptions_have_reliability_and_warnings(doubtful, tmp_path):
    source, prediction = doubtful
    findings = compute_findings(prediction, source.grid)
    make_structure_set(findings, source, Provenance("k")).save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "rt.dcm")
    assert read.ApprovalStatus == "UNAPPROVED"
    description = read.StructureSetDescription
    assert "Not a medical device" in description
    assert "enhancing tumour: unreliable" in description
    assert "T1 looks like a mask." in description
    assert any("enhancing tumour is unreliable" in one for one in findings.warnings)
    assert all(one in description for one in findings.warnings)
    whole, _, enhancing = (one.ROIDescription for one in read.StructureSetROISequence)
    assert "Reliability in this case: unreliable. Expected Dice " in enhancing
    assert "unreliable" not in whole


def test_calibrated_expected_dice_has_interval(doubtful):
    source, prediction = doubtful
    trusted = replace(prediction, model=replace(prediction.model, trust=fit_profile(made_records())))
    findings = compute_findings(trusted, source.grid)
    trust = findings.trust.regions[Region.WT]
    expected, interval = format_percent(trust.expected_dice), format_percents(trust.dice_interval)
    result = make_structure_set(findings, source, Provenance("k")).StructureSetROISequence[0]
    assert result.ROIDescription.endswith(f"Expected Dice {expected} ({interval}).")


def test_warnings_beyond_attribute_limit_are_counted(doubtful):
    """A short text holds 1,024 characters. Two of three warnings of 400 characters do not fit."""
    source, prediction = doubtful
    long = tuple(letter * 400 for letter in "abc")
    findings = replace(compute_findings(prediction, source.grid), warnings=long)
    description = make_structure_set(findings, source, Provenance("k")).StructureSetDescription
    assert len(description) <= 1024
    assert "a" * 400 in description
    assert "b" * 400 not in description
    assert description.endswith("Further warnings in report.dcm: 2.")


def test_empty_region_has_no_expected_dice(doubtful):
    source, prediction = doubtful
    prediction.probabilities[Region.ET][:] = 0.0
    findings = compute_findings(prediction, source.grid)
    result = make_structure_set(findings, source, Provenance("k")).StructureSetROISequence[2]
    assert result.ROIDescription.endswith("Reliability in this case: nothing segmented.")


def test_structure_set_is_written_only_on_request(tmp_path):
    source = made_source(tmp_path / "series", AFFINES["axial"])
    prediction = prediction_on(source.grid, np.ones(source.grid.shape))
    for name, rtstruct in (("without", False), ("with", True)):
        with OutputFolder(tmp_path / name) as out:
            write_dicom(prediction, out, DicomOutput({Modality.T1CE: source}, rtstruct=rtstruct))
        assert (tmp_path / name / "dicom" / "structures.dcm").exists() == rtstruct
    read = pydicom.dcmread(tmp_path / "with" / "dicom" / "structures.dcm")
    others = pydicom.dcmread(tmp_path / "with" / "dicom" / "segmentation.dcm")
    assert (read.StudyInstanceUID, read.PatientID) == (others.StudyInstanceUID, others.PatientID)
    assert read.Modality == "RTSTRUCT"


def test_single_voxel_is_diamond_around_its_centre():
    mask = np.zeros((5, 6), bool)
    mask[2, 4] = True
    (points,) = trace_outlines(mask)
    assert sorted(map(tuple, points)) == [(3.5, 2.0), (4.0, 1.5), (4.0, 2.5), (4.5, 2.0)]


def test_area_with_holes_is_one_contour_and_islands_are_separate():
    mask = np.zeros((12, 14), bool)
    mask[1:9, 1:11] = True
    mask[3:5, 3:5] = mask[3:7, 7:9] = False
    mask[10, 12] = True
    result = list(trace_outlines(mask))
    assert len(result) == 2
    np.testing.assert_array_equal(np.logical_xor.reduce([drawn(one, mask.shape) for one in result]), mask)


def test_straight_side_has_no_intermediate_points():
    mask = np.zeros((10, 12), bool)
    mask[2:8, 3:9] = True
    (points,) = trace_outlines(mask)
    assert len(points) == 8


def test_random_masks_round_trip_exactly():
    """The masks include diagonal neighbours, holes in holes, and areas at the border."""
    for seed in range(20):
        mask = np.random.default_rng(seed).random((17, 13)) < 0.55
        result = [drawn(one, mask.shape) for one in trace_outlines(mask)]
        np.testing.assert_array_equal(np.logical_xor.reduce(result), mask)


def test_area_with_hundreds_of_holes_takes_seconds():
    """Time that grows with the square of holes and with points would be minutes a slice."""
    mask = np.random.default_rng(0).random((128, 128)) > 0.05
    start = time.process_time()
    result = list(trace_outlines(mask))
    took_s = time.process_time() - start
    np.testing.assert_array_equal(np.logical_xor.reduce([drawn(one, mask.shape) for one in result]), mask)
    assert took_s < 15


def test_contour_of_more_than_64_kib_keeps_its_type(tmp_path):
    """Explicit VR gives the length of decimal strings in 16 bits."""
    source = made_source(tmp_path, AFFINES["axial"])
    findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
    result = make_structure_set(findings, source, Provenance("k"))
    contour = result.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = ["-123.456"] * 9000
    result.save_as(tmp_path / "structures.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "structures.dcm")
    element = read.ROIContourSequence[0].ContourSequence[0]["ContourData"]
    assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert (element.VR, len(element.value)) == ("DS", 9000)
