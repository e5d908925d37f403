"""RT Structure Set (PS3.3, A.19): closed planar contours of whole tumour, core and enhancing tumour."""

import datetime
from collections.abc import Iterator
from typing import Any

from brats_mm.domain.label_map import extract_regions
from brats_mm.domain.regions import REGION_COLOURS, REGIONS, Region
from brats_mm.outputs.dicom.contours import Points, trace_outlines
from brats_mm.outputs.dicom.findings import CONVENTION, Findings
from brats_mm.outputs.dicom.objects import (
    MANUFACTURER,
    PRODUCT,
    Provenance,
    describe_region,
    describe_series,
    describe_structure_set,
    finish,
    format_software,
)
from brats_mm.outputs.dicom.source import SourceSeries

SERIES_NUMBER = 9804
_RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"
"""Class of the referenced study. It is retired, but the attribute is mandatory and planning systems expect it."""
_TITLE = "RTSTRUCT"
_COPIED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
)  # fmt: skip


def make_structure_set(findings: Findings, source: SourceSeries, provenance: Provenance) -> Any:
    """Make a structure set of the three regions. A region without voxels has no contours.

    Args:
        findings: findings on `source.grid`.
        source: the reference series.
        provenance: source of the UIDs.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ImplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    # With explicit VR, a contour of more than 64 KiB would have an unknown VR.
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UID(_RT_STRUCTURE_SET)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(provenance.uid(_TITLE, "instance"))
    for keyword in _COPIED:
        setattr(dataset, keyword, str(source.images[0].get(keyword) or ""))
    now = None if provenance.deidentified else datetime.datetime.now()  # local time, as DICOM has it
    dataset.StructureSetDate = now.strftime("%Y%m%d") if now else ""
    dataset.StructureSetTime = now.strftime("%H%M%S") if now else ""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "RTSTRUCT", SERIES_NUMBER, 1
    dataset.SeriesInstanceUID = provenance.uid(_TITLE, "series")
    dataset.SeriesDescription = describe_series(_TITLE, findings.used)
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, PRODUCT
    dataset.SoftwareVersions = format_software(findings, provenance)
    dataset.DeviceSerialNumber = findings.model.weights_sha256[:16]
    dataset.OperatorsName = dataset.PositionReferenceIndicator = ""
    dataset.StructureSetLabel = "BRATS_MM"
    dataset.StructureSetDescription = describe_structure_set(findings)
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_build_referenced_frame(source)]
    masks = extract_regions(findings.labels, CONVENTION)
    numbered = list(enumerate(REGIONS, start=1))
    dataset.StructureSetROISequence = [
        _build_region_of_interest(number, region, findings, source) for number, region in numbered
    ]
    dataset.ROIContourSequence = [
        _build_contours(number, region, list(_trace_planes(source.frames(masks[region]), source)))
        for number, region in numbered
    ]
    dataset.RTROIObservationsSequence = [_build_observation(number) for number, _ in numbered]
    return finish(dataset, source.images[0], provenance)


def _build_referenced_frame(source: SourceSeries) -> Any:
    from pydicom.dataset import Dataset

    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = source.images[0].SeriesInstanceUID
    series.ContourImageSequence = [_slice_reference(source, index) for index in range(len(source.slices))]
    study.ReferencedSOPClassUID = _STUDY_MANAGEMENT
    study.ReferencedSOPInstanceUID = source.images[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = source.images[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _slice_reference(source: SourceSeries, index: int) -> Any:
    """Refer to the image of a slice, and to its frame in a multi-frame image."""
    from pydicom.dataset import Dataset

    image = source.images[0 if source.is_multiframe else index]
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    if source.is_multiframe:
        reference.ReferencedFrameNumber = source.slices[index].frame + 1
    return reference


def _build_region_of_interest(number: int, region: Region, findings: Findings, source: SourceSeries) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = source.images[0].FrameOfReferenceUID
    item.ROIName = region.label.capitalize()
    item.ROIDescription = describe_region(findings.trust.regions[region])
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _build_observation(number: int) -> Any:
    """State nothing about the role of a region in treatment."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.RTROIInterpretedType = item.ROIInterpreter = ""
    return item


def _build_contours(number: int, region: Region, contours: list[Any]) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ROIDisplayColor = list(REGION_COLOURS[region])
    item.ReferencedROINumber = number
    if contours:
        item.ContourSequence = contours
    return item


def _trace_planes(frames: Any, source: SourceSeries) -> Iterator[Any]:
    """Yield the contours of all slices.

    Args:
        frames: (slices, rows, columns) mask, in the order of the source's slices.
        source: the reference series.
    """
    from pydicom.dataset import Dataset

    for index, frame in enumerate(frames):
        if not frame.any():
            continue
        for points in trace_outlines(frame):
            contour = Dataset()
            contour.ContourImageSequence = [_slice_reference(source, index)]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = _format_patient_points(points, source, index)
            yield contour


def _format_patient_points(points: Points, source: SourceSeries, index: int) -> list[str]:
    """Return x, y, z of each point in millimetres, as decimal strings."""
    import numpy as np

    at = source.slices[index]
    assert at.position_mm is not None and at.spacing_mm is not None  # noqa: PT018 (a source has a grid)
    assert at.along is not None and at.down is not None  # noqa: PT018
    between_rows, between_columns = at.spacing_mm
    steps = np.stack([np.asarray(at.along) * between_columns, np.asarray(at.down) * between_rows])
    return [f"{value:.3f}" for value in (np.asarray(at.position_mm) + points @ steps).ravel()]
