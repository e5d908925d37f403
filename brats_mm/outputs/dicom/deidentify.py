"""De-identify headers by the Basic Application Confidentiality Profile (PS3.15, annex E).

The profile's table of about 600 attributes is that of dicom-anonymizer. It is applied to the source headers of the
results, so no patient data can reach the results. UIDs are replaced consistently within a call, and differently in the
next call.
"""

import secrets
import threading
from copy import deepcopy
from dataclasses import replace
from typing import Any

from brats_mm.errors import OptionError
from brats_mm.outputs.dicom.source import SourceSeries

METHOD = "PS3.15 Basic Application Confidentiality Profile"
_CODE = ("113100", "DCM", "Basic Application Confidentiality Profile")
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_KEPT_ATTRIBUTES = (
    *_UIDS, "SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "InstanceNumber",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "PhotometricInterpretation",
    "SamplesPerPixel", "BitsAllocated",
)  # fmt: skip
"""Attributes that slices after the first need: position and identification, without personal data."""
_at_once = threading.Lock()


def deidentify_series(source: SourceSeries) -> SourceSeries:
    """Return a copy of a series without the patient's identity, under a new pseudonym.

    Raises:
        OptionError: dicom-anonymizer is not installed.
    """
    try:
        from dicomanonymizer import simpledicomanonymizer as profile
    except ImportError as error:
        raise OptionError('De-identification needs dicom-anonymizer. Run: pip install "brats-mm[dicom]"') from error
    pseudonym = f"ANON-{secrets.token_hex(4).upper()}"
    with _at_once:  # the package stores its UIDs in a module-level table
        profile.dictionary.clear()
        try:
            first = _remove_identity(source.images[0], pseudonym, profile)
            others = tuple(_slim_header(image, first, profile) for image in source.images[1:])
        finally:
            profile.dictionary.clear()
    return replace(source, images=(first, *others))


def _remove_identity(image: Any, pseudonym: str, profile: Any) -> Any:
    from pydicom.dataset import Dataset

    header = deepcopy(image)
    profile.anonymize_dataset(header, delete_private_tags=True)
    header.PatientName, header.PatientID = f"{pseudonym}^", pseudonym
    header.PatientIdentityRemoved, header.DeidentificationMethod = "YES", METHOD
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = _CODE
    header.DeidentificationMethodCodeSequence = [code]
    return header


def _slim_header(image: Any, first: Any, profile: Any) -> Any:
    from pydicom.dataset import Dataset

    slim = Dataset()
    for keyword in _KEPT_ATTRIBUTES:
        if keyword in image:
            slim[keyword] = deepcopy(image[keyword])
    for keyword in _UIDS:
        setattr(slim, keyword, profile.get_UID(str(image[keyword].value)))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
                    "StudyDate", "StudyTime", "ReferringPhysicianName"):  # fmt: skip
        slim[keyword] = deepcopy(first[keyword])
    return slim
