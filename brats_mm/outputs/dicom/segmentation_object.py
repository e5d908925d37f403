"""DICOM Segmentation (PS3.3, A.51): BINARY, one segment per compartment, on the slices of its reference series."""

from typing import Any

import numpy as np

from brats_mm.domain.regions import BRAIN, SEGMENT_STYLES, Compartment
from brats_mm.outputs.dicom.codes import make_concept
from brats_mm.outputs.dicom.findings import CONVENTION, Findings
from brats_mm.outputs.dicom.objects import Provenance, build_image_arguments, finish_image, identify_algorithm
from brats_mm.outputs.dicom.source import SourceSeries

SERIES_NUMBER = 9801


def make_segmentation(findings: Findings, source: SourceSeries, provenance: Provenance) -> Any:
    """Make a highdicom Segmentation of the three compartments.

    Its type is BINARY, because all viewers support it. Slices without a compartment have no frames. Without tumour,
    each segment has one empty frame on the middle slice, because the standard requires at least one frame.

    Args:
        findings: findings on `source.grid`.
        source: reference series, which defines patient, study, frame of reference and geometry.
        provenance: source of the UIDs.
    """
    from highdicom.seg import Segmentation, SegmentationTypeValues

    if not findings.labels.any():
        source = source.select_slice(len(source.slices) // 2)
    frames = source.frames(findings.labels)
    dataset = Segmentation(
        pixel_array=np.stack(
            [frames == CONVENTION.value_of(compartment) for compartment in Compartment], axis=-1
        ).astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe_segment(number, compartment, findings, provenance)
            for number, compartment in enumerate(Compartment, start=1)
        ],
        content_label="BRATS_MM_SEG",
        omit_empty_frames=True,
        **build_image_arguments("SEG", SERIES_NUMBER, findings, source, provenance),
    )
    return finish_image(dataset, findings, source, provenance)


def find_segment_number(compartment: Compartment) -> int:
    """Return the segment number of a compartment."""
    return tuple(Compartment).index(compartment) + 1


def make_tracking_uid(compartment: Compartment, provenance: Provenance) -> str:
    """Return the tracking UID that links a segment to its measurements."""
    return provenance.uid("segment", compartment.value)


def _describe_segment(number: int, compartment: Compartment, findings: Findings, provenance: Provenance) -> Any:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription

    style = SEGMENT_STYLES[compartment]
    segment = SegmentDescription(
        segment_number=number,
        segment_label=style.name,
        segmented_property_category=make_concept(style.category),
        segmented_property_type=make_concept(style.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identify_algorithm(findings),
        tracking_uid=make_tracking_uid(compartment, provenance),
        tracking_id=style.name,
        anatomic_regions=[make_concept(BRAIN)],
        display_color=CIELabColor.from_rgb(*style.colour),
    )
    segment.SegmentDescription = "Research, not for diagnosis"
    return segment
