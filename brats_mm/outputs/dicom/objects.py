"""Shared attributes of all DICOM objects of a result: equipment, sources, UIDs, descriptions."""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from brats_mm.domain.availability import Availability, describe, sort_modalities
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.display import format_percent, format_percents
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.outputs.dicom.codes import ARTIFICIAL_INTELLIGENCE, build_coding_schemes, make_concept
from brats_mm.outputs.dicom.findings import Findings
from brats_mm.outputs.dicom.source import SourceSeries, build_geometry
from brats_mm.trust.assess import RegionTrust

MANUFACTURER = "The BraTS-MM developers"
PRODUCT = "BraTS-MM"
_NAMESPACE = uuid.UUID("5d9f5a0e-2f0b-5f5e-9d0d-6b7c1d7f5a11")
_NO_DATE = datetime.date(1900, 1, 1)
_MAX_LENGTH = 64
"""Maximum length of a long string (LO) in characters."""
_MAX_SHORT_TEXT = 1024
"""Maximum length of a short text (ST) in characters."""
_MAX_COMMENT = 10240
"""Maximum length of a long text (LT) in characters."""


@dataclass(frozen=True)
class Provenance:
    """Origin of a result: basis of its UIDs, de-identification and software version.

    Attributes:
        key: text of everything that determines the result. Equal keys give equal UIDs, so repeated runs create the same
            objects.
        deidentified: whether the source headers were de-identified.
        software: version of the software.
    """

    key: str
    deidentified: bool = False
    software: str = "unknown"

    def uid(self, *parts: str) -> str:
        """Return a UID derived from the key (PS3.5, B.2: derived from a UUID)."""
        return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join((self.key, *parts))).int}"


def describe_series(title: str, used: Availability) -> str:
    """Describe the object and its sequences, with a disclaimer."""
    sequences = "+".join(modality.label for modality in sort_modalities(used))
    return _check_length(f"{PRODUCT} {title} {sequences}, research, not for diagnosis")


def describe_content(used: Availability, missing: Availability) -> str:
    """Describe the sequences used and missing."""
    return _check_length(f"used {describe(used)}; missing {describe(missing)}; not for diagnosis")


def format_image_comments(findings: Findings) -> str:
    """Return the reliability of each region and the warnings, for viewers that show no structured report."""
    return _append_warnings(_MAX_COMMENT, _describe_reliability(findings), findings.warnings)


def describe_structure_set(findings: Findings) -> str:
    """Return the sequences, the reliability of each region and the warnings, within the limit of a short text."""
    sequences = f"Sequences used: {describe(findings.used)}. Missing: {describe(findings.missing)}."
    return _append_warnings(_MAX_SHORT_TEXT, f"{_describe_reliability(findings)} {sequences}", findings.warnings)


def describe_region(trust: RegionTrust) -> str:
    """Return the reliability and the expected Dice of a region, within the limit of a short text."""
    sentences = ["Research, not for diagnosis or treatment.", f"Reliability in this case: {_describe_grade(trust)}."]
    if trust.expected_dice is not None:
        interval = "" if trust.dice_interval is None else f" ({format_percents(trust.dice_interval)})"
        sentences.append(f"Expected Dice {format_percent(trust.expected_dice)}{interval}.")
    return " ".join(sentences)


def _describe_reliability(findings: Findings) -> str:
    lights = ", ".join(f"{region.label}: {_describe_grade(trust)}" for region, trust in findings.trust.regions.items())
    return f"{NOT_FOR_DIAGNOSIS} Reliability in this case: {lights}."


def _describe_grade(trust: RegionTrust) -> str:
    return "nothing segmented" if trust.grade is None else trust.grade.value


def _append_warnings(longest: int, text: str, warnings: Sequence[str]) -> str:
    """Append as many whole warnings as fit, and state the number of the others."""
    for remaining, warning in zip(range(len(warnings), 0, -1), warnings, strict=True):
        remark = f" Further warnings in report.dcm: {remaining}."
        required = len(warning) + 1 + (len(remark) if remaining > 1 else 0)
        if len(text) + required > longest:
            return text + remark
        text = f"{text} {warning}"
    return text


def format_model_version(model: ModelIdentity) -> str:
    """Return the version of the bundle and the start of the hash of its weights."""
    return f"{model.version} ({model.weights_sha256[:12]})"


def format_software(findings: Findings, provenance: Provenance) -> str:
    """Return the versions of the software and the model, within the limit of a long string."""
    model = findings.model
    return f"{provenance.software}, {model.name} {format_model_version(model)}"[:_MAX_LENGTH]


def list_parameters(findings: Findings) -> dict[str, str]:
    """Return the inputs of the algorithm."""
    return {
        "sequences used": describe(findings.used),
        "sequences missing": describe(findings.missing),
        "weights sha256": findings.model.weights_sha256,
    }


def identify_algorithm(findings: Findings) -> Any:
    """Return the algorithm identification for images."""
    from highdicom import AlgorithmIdentificationSequence

    return AlgorithmIdentificationSequence(
        name=f"{PRODUCT} {findings.model.name}"[:_MAX_LENGTH],
        family=make_concept(ARTIFICIAL_INTELLIGENCE),
        version=format_model_version(findings.model)[:_MAX_LENGTH],
        source=MANUFACTURER,
        parameters=list_parameters(findings),
    )


def build_common_arguments(
    title: str, series_number: int, findings: Findings, provenance: Provenance
) -> dict[str, Any]:
    """Return the common arguments of all highdicom constructors.

    Args:
        title: title of the object.
        series_number: number of its series.
        findings: findings of the result.
        provenance: origin of the result.
    """
    dated = {"content_date": _NO_DATE, "content_time": datetime.time()} if provenance.deidentified else {}
    return {
        "series_instance_uid": provenance.uid(title, "series"),
        "series_number": series_number,
        "sop_instance_uid": provenance.uid(title, "instance"),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": PRODUCT,
        "software_versions": format_software(findings, provenance),
        "device_serial_number": findings.model.weights_sha256[:16],
        "series_description": describe_series(title, findings.used),
        "coding_schemes": build_coding_schemes(),
        **dated,
    }


def build_image_arguments(
    title: str, series_number: int, findings: Findings, source: SourceSeries, provenance: Provenance
) -> dict[str, Any]:
    """Return the common arguments of the highdicom constructors of images on the slices of a series."""
    return {
        "source_images": list(source.images),
        "content_description": describe_content(findings.used, findings.missing),
        "content_creator_name": f"{PRODUCT}^",
        **build_geometry(source),
        **build_common_arguments(title, series_number, findings, provenance),
    }


def finish_image(dataset: Any, findings: Findings, source: SourceSeries, provenance: Provenance) -> Any:
    """Add the body part and the comments to an image, and finish it."""
    dataset.BodyPartExamined = "BRAIN"
    dataset.ImageComments = format_image_comments(findings)
    return finish(dataset, source.images[0], provenance)


def finish(dataset: Any, source: Any, provenance: Provenance) -> Any:
    """Add the attributes that highdicom omits: the character set, and whether the identity was removed.

    Args:
        dataset: object to complete in place.
        source: reference series.
        provenance: origin of the result.
    """
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"):
        if keyword in source:
            setattr(dataset, keyword, source[keyword].value)
    if provenance.deidentified:
        for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
            if keyword in dataset:
                delattr(dataset, keyword)
    return dataset


def _check_length(text: str) -> str:
    assert len(text) <= _MAX_LENGTH, text
    return text
