"""SEG, Parametric Map and Structured Report, read back by highdicom and checked by dciodvfy."""

import itertools
import math
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, SEGMENT_STYLES, Compartment, Region
from brats_mm.outputs.dicom.findings import compute_findings
from brats_mm.outputs.dicom.objects import Provenance, describe_content, describe_series
from brats_mm.outputs.dicom.parametric_map import make_entropy_map
from brats_mm.outputs.dicom.segmentation_object import make_segmentation
from brats_mm.outputs.dicom.structured_report import make_report
from brats_mm.trust.fit import fit_profile
from tests.fakes.dicom_results import made_source, prediction_on, turned
from tests.fakes.dicom_series import TYPICAL
from tests.fakes.trust_records import made_records

AXIAL = turned((0, 1, 2), (-1, -1, 1))
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module", params=["classic", "enhanced"])
def made(request, tmp_path_factory):
    """Write the three objects and return them with their source."""
    folder = tmp_path_factory.mktemp("objects")
    source = made_source(folder / "series", AXIAL, enhanced=request.param == "enhanced")
    findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
    provenance = Provenance("key")
    segmentation = make_segmentation(findings, source, provenance)
    objects = {
        "seg": segmentation,
        "map": make_entropy_map(findings, source, provenance),
        "report": make_report(findings, source, segmentation, provenance),
    }
    paths = {}
    for name, one in objects.items():
        paths[name] = folder / f"{name}.dcm"
        one.save_as(paths[name])
    return source, findings, paths


def volume_of(path, **how):
    """Return the voxels of a DICOM image in grid order, and its RAS affine."""
    volume = hd.imread(path).get_volume(**how) if how else hd.seg.segread(path).get_volume(combine_segments=True)
    affine = LPS @ volume.affine  # slices, rows, columns
    turn = np.eye(4)[:, [2, 1, 0, 3]]
    return volume.array.transpose(2, 1, 0), affine @ turn


def check_same_voxels(array, affine, data, grid):
    """Check that every written voxel has its value and position, and that all others are zero."""
    expected = np.zeros(grid.shape, data.dtype)
    for index in itertools.product(*map(range, array.shape)):
        there = np.linalg.inv(grid.affine) @ affine @ np.array([*index, 1.0])
        assert np.abs(there - np.rint(there)).max() < 1e-3
        i, j, k = np.rint(there[:3]).astype(int)
        expected[i, j, k] = array[index]
    assert np.array_equal(expected, data)


def test_segmentation_has_equal_voxels_at_equal_positions(made):
    source, findings, paths = made
    array, affine = volume_of(paths["seg"])
    check_same_voxels(array, affine, findings.labels, source.grid)


def test_entropy_has_equal_values_at_equal_positions(made):
    source, findings, paths = made
    array, affine = volume_of(paths["map"], apply_real_world_transform=False, apply_voi_transform=False)
    check_same_voxels(array.astype(np.float32), affine, findings.entropy, source.grid)


def test_each_compartment_is_a_segment_with_codes_and_colours(made):
    segmentation = hd.seg.segread(made[2]["seg"])
    assert [one.SegmentLabel for one in segmentation.SegmentSequence] == [
        SEGMENT_STYLES[part].name for part in Compartment
    ]
    types = [one.SegmentedPropertyTypeCodeSequence[0] for one in segmentation.SegmentSequence]
    assert [(one.CodingSchemeDesignator, one.CodeValue) for one in types] == [
        ("SCT", "6574001"),
        ("SCT", "79654002"),
        ("NCIt", "C113842"),
    ]
    for one, part in zip(segmentation.SegmentSequence, Compartment, strict=True):
        colour = hd.color.CIELabColor.from_dicom_value(one.RecommendedDisplayCIELabValue).to_rgb(clip=True)
        assert np.abs(np.subtract(colour, SEGMENT_STYLES[part].colour)).max() <= 1
        algorithm = one.SegmentationAlgorithmIdentificationSequence[0]
        assert "brats_mm_segmentation" in algorithm.AlgorithmName
        assert algorithm.AlgorithmVersion.startswith("0.1.0")


def test_each_object_is_in_the_source_study_and_describes_itself(made):
    source, _, paths = made
    image = source.images[0]
    for path in paths.values():
        one = pydicom.dcmread(path)
        assert (one.StudyInstanceUID, one.PatientID) == (image.StudyInstanceUID, image.PatientID)
        assert "T1ce+FLAIR" in one.SeriesDescription
        assert "not for diagnosis" in one.SeriesDescription
        assert one.SeriesInstanceUID != image.SeriesInstanceUID
        assert "InstitutionName" not in one
    for name in ("seg", "map"):
        one = pydicom.dcmread(paths[name])
        assert one.FrameOfReferenceUID == image.FrameOfReferenceUID
        assert one.ContentDescription == "used T1ce, FLAIR; missing T1, T2; not for diagnosis"
        derived = one.ReferencedSeriesSequence[0]
        assert derived.SeriesInstanceUID == image.SeriesInstanceUID


def test_entropy_maps_to_dimensionless_nats(made):
    one = pydicom.dcmread(made[2]["map"])
    mapping = one.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == pytest.approx(MAX_COMPARTMENT_NATS)
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert "FloatPixelData" in one


def test_report_measures_each_segment(made):
    _, findings, paths = made
    report, segmentation = hd.sr.srread(paths["report"]), pydicom.dcmread(paths["seg"])
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 3
    for group, part in zip(groups, Compartment, strict=True):
        assert str(segmentation.SOPInstanceUID) in str(group.referenced_segment)
        volume, entropy = group.get_measurements()
        assert (volume.name.value, volume.unit.value) == ("118565006", "mL")
        assert volume.value == pytest.approx(findings.compartments[part].volume_ml, abs=1e-6)
        assert entropy.value == pytest.approx(findings.compartments[part].mean_entropy_nats, abs=1e-6)
    regions = report.content.get_image_measurement_groups()
    assert [group.finding_type.meaning for group in regions] == ["Whole tumour", "Tumour core", "Enhancing tumour"]
    items = pydicom.dcmread(paths["report"]).ContentSequence
    text = next(item.TextValue for item in items if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment")
    assert "Sequences used: T1ce, FLAIR. Missing: T1, T2." in text
    assert "Not a medical device" in text


def test_report_has_grade_expected_dice_and_intervals_per_region(tmp_path):
    source = made_source(tmp_path / "series", AXIAL, (12, 10, 6))
    prediction = prediction_on(source.grid, np.ones(source.grid.shape))
    trusted = replace(prediction, model=replace(prediction.model, trust=fit_profile(made_records())))
    findings = compute_findings(trusted, source.grid)
    segmentation = make_segmentation(findings, source, Provenance("k"))
    make_report(findings, source, segmentation, Provenance("k")).save_as(tmp_path / "report.dcm")
    content = hd.sr.srread(tmp_path / "report.dcm").content
    for group, region in zip(content.get_image_measurement_groups(), REGIONS, strict=True):
        values = {one.name.value: one.value for one in group.get_measurements()}
        trust = findings.trust.regions[region]
        assert values["dice-expected"] == pytest.approx(trust.expected_dice, abs=1e-5)
        assert (values["dice-expected-low"], values["dice-expected-high"]) == pytest.approx(
            trust.dice_interval, abs=1e-5
        )
        assert values["volume-low"] < values["118565006"] < values["volume-high"]
        grades = [one.value.meaning for one in group.get_qualitative_evaluations() if one.name.value == "reliability"]
        assert grades == [trust.grade.value.capitalize()]
    items = pydicom.dcmread(tmp_path / "report.dcm").ContentSequence
    text = next(item.TextValue for item in items if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment")
    assert "Adding T" in text
    assert "calibrated on only 12 labelled cases" in text


def test_every_object_has_warnings_and_reliability_per_region(tmp_path):
    source = made_source(tmp_path / "series", AXIAL, (12, 10, 6))
    prediction = replace(prediction_on(source.grid, np.ones(source.grid.shape)), warnings=("T1 looks like a mask.",))
    prediction.probabilities[Region.ET][:] = np.where(prediction.mask(Region.ET), 0.51, 0.48)
    findings = compute_findings(prediction, source.grid)
    assert findings.warnings[0] == "T1 looks like a mask."
    assert any("enhancing tumour is unreliable" in one for one in findings.warnings)
    segmentation = make_segmentation(findings, source, Provenance("k"))
    report = make_report(findings, source, segmentation, Provenance("k"))
    comments = [one.TextValue for one in report.ContentSequence if one.ValueType == "TEXT"]
    assert [text for text in comments if text.startswith("Warning: ")] == [
        f"Warning: {one}" for one in findings.warnings
    ]
    for image in (segmentation, make_entropy_map(findings, source, Provenance("k"))):
        assert all(one in image.ImageComments for one in ("enhancing tumour: unreliable", *findings.warnings))
        assert "Not a medical device" in image.ImageComments


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian package dicom3tools)")
@pytest.mark.parametrize("name", ["seg", "map", "report"])
def test_dciodvfy_reports_no_error(made, name):
    message = subprocess.run(["dciodvfy", str(made[2][name])], capture_output=True, text=True, check=False).stderr
    assert "Error" not in message, message


@pytest.mark.parametrize(
    ("axes", "flips", "angles"),
    [
        ((1, 2, 0), (-1, -1, 1), (0.0, 0.0)),  # sagittal
        ((0, 2, 1), (-1, -1, 1), (0.0, 0.0)),  # coronal
        ((0, 1, 2), (1, 1, 1), (0.0, 0.0)),  # rows and columns reversed
        ((0, 1, 2), (-1, -1, 1), (0.35, 0.2)),  # oblique
    ],
)
def test_every_orientation_round_trips(tmp_path, axes, flips, angles):
    source = made_source(tmp_path / "series", turned(axes, flips, angles=angles), (9, 8, 5))
    findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
    make_segmentation(findings, source, Provenance("k")).save_as(tmp_path / "seg.dcm")
    array, affine = volume_of(tmp_path / "seg.dcm")
    check_same_voxels(array, affine, findings.labels, source.grid)
    assert findings.labels.any()


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    axes=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    angles=st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)),
)
def test_random_orientations_round_trip(axes, flips, angles):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = made_source(folder / "series", turned(axes, flips, angles=angles), (8, 7, 4))
        findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
        make_segmentation(findings, source, Provenance("k")).save_as(folder / "seg.dcm")
        array, affine = volume_of(folder / "seg.dcm")
        check_same_voxels(array, affine, findings.labels, source.grid)


def test_case_without_tumour_has_three_empty_segments(tmp_path):
    source = made_source(tmp_path / "series", AXIAL, (8, 7, 4))
    prediction = prediction_on(source.grid, np.ones(source.grid.shape))
    for probability in prediction.probabilities.values():
        probability[:] = 0.1
    findings = compute_findings(prediction, source.grid)
    segmentation = make_segmentation(findings, source, Provenance("k"))
    report = make_report(findings, source, segmentation, Provenance("k"))
    assert segmentation.number_of_segments == 3
    assert segmentation.NumberOfFrames == 3, "one a segment, not one a slice and segment"
    assert not segmentation.pixel_array.any()
    report.save_as(tmp_path / "report.dcm")
    first = hd.sr.srread(tmp_path / "report.dcm").content.get_volumetric_roi_measurement_groups()[0].get_measurements()
    assert [one.value for one in first] == [0.0]


def test_descriptions_fit_dicom_attributes_for_every_subset():
    from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS

    for used in SUBSETS:
        for what in ("SEG", "entropy", "report"):
            assert len(describe_series(what, used)) <= 64
        assert len(describe_content(used, ALL_AVAILABLE - used)) <= 64


def test_uids_are_derived_from_key():
    assert Provenance("a").uid("SEG") == Provenance("a").uid("SEG")
    assert Provenance("a").uid("SEG") != Provenance("b").uid("SEG")
    assert Provenance("a").uid("SEG") != Provenance("a").uid("report")
    assert pydicom.uid.UID(Provenance("a").uid("SEG")).is_valid


def test_frames_of_one_echo_in_two_echo_file_keep_positions(tmp_path):
    """Frames of the other echo are not part of the results."""
    from brats_mm.io.dicom.scan import scan, select_study
    from brats_mm.outputs.dicom.source import read_source
    from tests.fakes.dicom_series import make_enhanced

    data = np.random.default_rng(1).integers(1, 99, (8, 7, 8))
    image = make_enhanced(data, AXIAL, TYPICAL["t2"])
    groups = image.PerFrameFunctionalGroupsSequence
    for index, group in enumerate(groups):
        group.FrameContentSequence[0].StackID = str(index // 4 + 1)
        group.FrameContentSequence[0].InStackPositionNumber = index % 4 + 1
        group.PlanePositionSequence[0].ImagePositionPatient = (
            groups[index % 4].PlanePositionSequence[0].ImagePositionPatient
        )
    (tmp_path / "series").mkdir()
    image.save_as(tmp_path / "series" / "two.dcm", enforce_file_format=True)
    series = select_study(scan(tmp_path / "series")).series
    assert len(series) == 2
    source = read_source(series[1])
    assert not source.is_whole
    findings = compute_findings(prediction_on(source.grid, np.ones(source.grid.shape)), source.grid)
    make_segmentation(findings, source, Provenance("k")).save_as(tmp_path / "seg.dcm")
    make_entropy_map(findings, source, Provenance("k"))
    array, affine = volume_of(tmp_path / "seg.dcm")
    check_same_voxels(array, affine, findings.labels, source.grid)


def test_mean_entropy_of_compartment_is_over_its_voxels():
    from brats_mm.domain.volume import Grid

    grid = Grid((12, 10, 6), np.diag([2.0, 1.0, 1.0, 1.0]))
    findings = compute_findings(prediction_on(grid, np.ones(grid.shape), (Modality.T1,)), grid)
    oedema = findings.compartments[Compartment.OEDEMA]
    message = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert oedema.mean_entropy_nats == pytest.approx(message, rel=1e-5)
    assert oedema.volume_ml == pytest.approx(np.count_nonzero(findings.labels == 2) * 2 / 1000)
