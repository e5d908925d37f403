"""DICOM Structured Report (TID 1500) with the volumes and entropies of compartments and regions."""

from typing import Any

from brats_mm.domain.availability import describe, sort_modalities
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.regions import BRAIN, REGIONS, SEGMENT_STYLES, Code, Compartment, Region
from brats_mm.outputs.dicom import codes
from brats_mm.outputs.dicom.codes import make_concept
from brats_mm.outputs.dicom.findings import Findings, Measured
from brats_mm.outputs.dicom.objects import (
    MANUFACTURER,
    PRODUCT,
    Provenance,
    build_common_arguments,
    finish,
    format_model_version,
    list_parameters,
)
from brats_mm.outputs.dicom.segmentation_object import find_segment_number, make_tracking_uid
from brats_mm.outputs.dicom.source import SourceSeries
from brats_mm.trust.assess import RegionTrust

SERIES_NUMBER = 9803
_DIGITS = 6


def make_report(findings: Findings, source: SourceSeries, segmentation: Any, provenance: Provenance) -> Any:
    """Return a Comprehensive 3D SR with a group of measurements for each segment and each nested region.

    Args:
        findings: findings on the grid of the segmentation.
        source: reference series.
        segmentation: object whose segments are measured.
        provenance: source of the UIDs.
    """
    from highdicom.sr import Comprehensive3DSR, MeasurementReport, TextContentItem

    report = MeasurementReport(
        observation_context=_build_context(findings, provenance),
        procedure_reported=make_concept(codes.PROCEDURE),
        imaging_measurements=[
            *(_report_compartment(compartment, findings, segmentation, provenance) for compartment in Compartment),
            *(_report_region(region, findings, provenance) for region in REGIONS),
        ],
        title=make_concept(codes.REPORT_TITLE),
    )
    for text in (_format_comment(findings), *(f"Warning: {warning}" for warning in findings.warnings)):
        report[0].ContentSequence.append(
            TextContentItem(name=make_concept(codes.COMMENT), value=text, relationship_type="CONTAINS")
        )
    arguments = build_common_arguments("report", SERIES_NUMBER, findings, provenance)
    dataset = Comprehensive3DSR(
        evidence=[segmentation, *source.images],
        content=report[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        **arguments,
    )
    dataset.ContentQualification = "RESEARCH"
    return finish(dataset, source.images[0], provenance)


def _format_comment(findings: Findings) -> str:
    trust = findings.trust
    sentences = [
        NOT_FOR_DIAGNOSIS,
        f"Sequences used: {describe(findings.used)}. Missing: {describe(findings.missing)}.",
        "Entropy in nats: 0 to ln 4 for compartments, 0 to ln 2 for regions. 0 is certain.",
        trust.statement,
        trust.advice,
    ]
    return " ".join(sentence for sentence in sentences if sentence is not None)


def _build_context(findings: Findings, provenance: Provenance) -> Any:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes as standard

    device = DeviceObserverIdentifyingAttributes(
        uid=Provenance(findings.model.weights_sha256).uid("device"),
        name=f"{findings.model.name} {format_model_version(findings.model)}",
        manufacturer_name=MANUFACTURER,
        model_name=PRODUCT,
        serial_number=findings.model.weights_sha256[:16],
    )
    observer = ObserverContext(observer_type=standard.DCM.Device, observer_identifying_attributes=device)
    return ObservationContext(observer_device_context=observer)


def _report_compartment(compartment: Compartment, findings: Findings, segmentation: Any, provenance: Provenance) -> Any:
    from highdicom.sr import (
        FindingSite,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    style = SEGMENT_STYLES[compartment]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(make_tracking_uid(compartment, provenance), style.name),
        referenced_segment=ReferencedSegment(  # built directly, because highdicom fails for a segment without frames
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            find_segment_number(compartment),
            source_series=SourceSeriesForSegmentation(segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID),
        ),
        finding_category=make_concept(style.category),
        finding_type=make_concept(style.type),
        finding_sites=[FindingSite(make_concept(BRAIN))],
        measurements=_build_measurements(findings.compartments[compartment], codes.MEAN_ENTROPY),
        qualitative_evaluations=_report_sequences(findings),
        algorithm_id=_identify_algorithm(findings),
    )


def _report_region(region: Region, findings: Findings, provenance: Provenance) -> Any:
    from highdicom.sr import FindingSite, MeasurementsAndQualitativeEvaluations, TrackingIdentifier

    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(provenance.uid("region", region.value), region.label),
        finding_category=make_concept(codes.NEOPLASM),
        finding_type=make_concept(codes.REGION_NAMES[region]),
        finding_sites=[FindingSite(make_concept(BRAIN))],
        measurements=[
            *_build_measurements(findings.regions[region], codes.MEAN_REGION_ENTROPY),
            *_build_trust_measurements(findings.trust.regions[region]),
        ],
        qualitative_evaluations=[*_report_reliability(findings.trust.regions[region]), *_report_sequences(findings)],
        algorithm_id=_identify_algorithm(findings),
    )


def _build_measurements(measured: Measured, entropy: Code) -> list[Any]:
    from highdicom.sr import Measurement

    measurements = [
        Measurement(make_concept(codes.VOLUME), round(measured.volume_ml, _DIGITS), make_concept(codes.MILLILITRE))
    ]
    if measured.mean_entropy_nats is not None:
        measurements.append(
            Measurement(make_concept(entropy), round(measured.mean_entropy_nats, _DIGITS), make_concept(codes.NO_UNITS))
        )
    return measurements


def _build_trust_measurements(trust: RegionTrust) -> list[Any]:
    """Return the expected Dice and the limits of the known intervals as measurements."""
    from highdicom.sr import Measurement

    values = [(codes.EXPECTED_DICE, trust.expected_dice, codes.NO_UNITS)]
    if trust.dice_interval is not None:
        limits = zip((codes.EXPECTED_DICE_LOW, codes.EXPECTED_DICE_HIGH), trust.dice_interval, strict=True)
        values += [(code, limit, codes.NO_UNITS) for code, limit in limits]
    if trust.volume_interval_ml is not None:
        limits = zip((codes.VOLUME_LOW, codes.VOLUME_HIGH), trust.volume_interval_ml, strict=True)
        values += [(code, limit, codes.MILLILITRE) for code, limit in limits]
    return [
        Measurement(make_concept(code), round(value, _DIGITS), make_concept(unit))
        for code, value, unit in values
        if value is not None
    ]


def _report_reliability(trust: RegionTrust) -> list[Any]:
    from highdicom.sr import QualitativeEvaluation

    if trust.grade is None:
        return []
    return [QualitativeEvaluation(make_concept(codes.RELIABILITY), make_concept(codes.GRADES[trust.grade]))]


def _report_sequences(findings: Findings) -> list[Any]:
    """Return a content item for each sequence, used or missing."""
    from highdicom.sr import QualitativeEvaluation

    kinds = ((codes.SEQUENCE_USED, findings.used), (codes.SEQUENCE_MISSING, findings.missing))
    return [
        QualitativeEvaluation(make_concept(name), make_concept(codes.SEQUENCES[modality]))
        for name, sequences in kinds
        for modality in sort_modalities(sequences)
    ]


def _identify_algorithm(findings: Findings) -> Any:
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(
        name=f"{PRODUCT} {findings.model.name}",
        version=format_model_version(findings.model),
        parameters=[f"{name}: {value}" for name, value in list_parameters(findings).items()],
        family=make_concept(codes.ARTIFICIAL_INTELLIGENCE),
        manufacturer=MANUFACTURER,
    )
