"""DICOM series from arrays, for tests: classic MR (one file per slice) and enhanced multi-frame MR (one file).

>>> paths = write_series(tmp_path / "t1", array, affine, SeriesFacts("T1 axial", echo_ms=10))   # doctest: +SKIP

`array[i, j, k]` and its RAS affine are those of a NIfTI file: i runs along an image row, j down the rows, k from slice
to slice. i and j must be at right angles, as in DICOM. k may be oblique (a tilted gantry, or sheared slices).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

Array = npt.NDArray[Any]
_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class SeriesFacts:
    """Header values of a series. Two series with the same `study` belong together.

    Attributes:
        description: Series Description.
        protocol: Protocol Name. None repeats the description.
        repetition_ms, echo_ms, inversion_ms, flip_deg: None omits the tag.
        contrast: Contrast/Bolus Agent.
        image_type, scanning_sequence, sequence_variant, scan_options, sequence_name, acquisition_3d: values as written
            by scanners.
        number: Series Number.
        patient, study: any words. Equal words give equal UIDs.
        slope, intercept: stored = (value - intercept) / slope, written as the rescale tags. (1, 0) omits them.
        bits: 12 or 16 stored bits.
        signed: whether values are stored in two's complement.
        modality: MR, or another modality to test its rejection.
        extra: values of further attributes by keyword. None removes an attribute.
    """

    description: str = "T1 axial"
    protocol: str | None = None
    repetition_ms: float | None = 500.0
    echo_ms: float | None = 10.0
    inversion_ms: float | None = None
    flip_deg: float | None = 90.0
    contrast: str | None = None
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "M", "ND")
    scanning_sequence: str | Sequence[str] = "SE"
    sequence_variant: str | Sequence[str] = "SK"
    scan_options: str | Sequence[str] = ""
    sequence_name: str | None = None
    acquisition_3d: bool = False
    manufacturer: str = "SIEMENS"
    field_t: float = 3.0
    number: int = 1
    patient: str = "patient"
    study: str = "study"
    slope: float = 1.0
    intercept: float = 0.0
    bits: int = 16
    signed: bool = False
    modality: str = "MR"
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def series_uid(self) -> str:
        """UID derived from study, number and description."""
        return uid_of("series", self.study, str(self.number), self.description)

    @property
    def study_uid(self) -> str:
        """UID derived from the study's name."""
        return uid_of("study", self.study)

    @property
    def frame_of_reference_uid(self) -> str:
        """One UID per study."""
        return uid_of("frame of reference", self.study)


TYPICAL: Mapping[str, SeriesFacts] = {
    "t1": SeriesFacts("AX T1 SE", repetition_ms=550, echo_ms=12, number=2),
    "t1ce": SeriesFacts(
        "AX T1 MPRAGE post Gd",
        repetition_ms=2300,
        echo_ms=2.98,
        inversion_ms=900,
        flip_deg=9,
        contrast="Gadovist",
        scanning_sequence=("GR", "IR"),
        sequence_variant=("SP", "MP"),
        acquisition_3d=True,
        number=5,
    ),
    "t2": SeriesFacts("AX T2 TSE", repetition_ms=4500, echo_ms=100, number=3),
    "flair": SeriesFacts(
        "AX T2 FLAIR",
        repetition_ms=9000,
        echo_ms=90,
        inversion_ms=2500,
        scanning_sequence=("SE", "IR"),
        number=4,
    ),
}
"""Realistic header values of the four sequences. Keys are the values of `Modality`."""


def uid_of(*words: str) -> str:
    """Return a UID that depends only on the words."""
    return str(generate_uid(entropy_srcs=["tests", *words]))


def write_series(folder: Path, data: Array, affine: Array, facts: SeriesFacts | None = None) -> list[Path]:
    """Write a classic MR series, explicit little endian, one file per slice.

    Args:
        folder: created if needed. It may contain other series.
        data: (i, j, k), see the module's docstring. Rounded to integers after the rescale.
        affine: (4, 4), voxel indices to RAS millimetres.
        facts: header values.

    Returns:
        The files in ascending order of k.
    """
    chosen = facts or SeriesFacts()
    folder.mkdir(parents=True, exist_ok=True)
    slices = make_slices(data, affine, chosen)
    paths = [folder / f"{chosen.number:03d}_{index + 1:04d}.dcm" for index in range(len(slices))]
    for path, one in zip(paths, slices, strict=True):
        one.save_as(path, enforce_file_format=True)
    return paths


def make_slices(data: Array, affine: Array, facts: SeriesFacts) -> list[FileDataset]:
    """Return the datasets of a classic series, in ascending order of k."""
    stored = _stored(data, facts)
    return [_slice(stored, affine, facts, index) for index in range(data.shape[2])]


def write_enhanced(path: Path, data: Array, affine: Array, facts: SeriesFacts | None = None) -> Path:
    """Write an enhanced multi-frame MR image: all slices in one file, geometry in functional groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_enhanced(data, affine, facts or SeriesFacts()).save_as(path, enforce_file_format=True)
    return path


def make_enhanced(data: Array, affine: Array, facts: SeriesFacts) -> FileDataset:
    """Return an enhanced multi-frame MR image, with frames in the order of k."""
    stored = _stored(data, facts)
    image = _start(EnhancedMRImageStorage, facts, "enhanced")
    image.ImageType = [*facts.image_type[:2], "VOLUME", "NONE"]
    image.NumberOfFrames = data.shape[2]
    image.SharedFunctionalGroupsSequence = DicomSequence([_shared_groups(affine, facts)])
    image.PerFrameFunctionalGroupsSequence = DicomSequence(
        [_frame_groups(affine, index) for index in range(data.shape[2])]
    )
    if facts.contrast:
        agent = Dataset()
        agent.CodeMeaning = facts.contrast
        image.ContrastBolusAgentSequence = DicomSequence([agent])
    _add_pixels(image, np.moveaxis(stored, 2, 0).swapaxes(1, 2), facts)
    _add_extra(image, facts)
    return image


def with_number(facts: SeriesFacts, number: int, **changes: Any) -> SeriesFacts:
    """Return the facts with another series number and further changes."""
    return replace(facts, number=number, **changes)


def position_of(affine: Array, index: float) -> list[float]:
    """Return Image Position (Patient), LPS, of slice k."""
    return [round(float(value), 6) for value in _LPS @ (affine[:3, 2] * index + affine[:3, 3])]


def orientation_of(affine: Array) -> list[float]:
    """Return Image Orientation (Patient), LPS: directions along a row and down the rows."""
    along, down = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (0, 1))
    if abs(float(along @ down)) > 1e-4:
        raise ValueError("DICOM needs slices with orthogonal axes, and the first two axes of the affine are not.")
    return [round(float(value), 9) for value in (*(_LPS @ along), *(_LPS @ down))]


def _slice(stored: Array, affine: Array, facts: SeriesFacts, index: int) -> FileDataset:
    image = _start(MRImageStorage, facts, str(index))
    image.ImageType = list(facts.image_type)
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = position_of(affine, index)
    image.ImageOrientationPatient = orientation_of(affine)
    image.PixelSpacing = _pixel_spacing(affine)
    image.SliceThickness = _slice_step(affine)
    image.SpacingBetweenSlices = _slice_step(affine)
    _add_physics(image, facts)
    if (facts.slope, facts.intercept) != (1.0, 0.0):
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = facts.slope, facts.intercept, "US"
    _add_pixels(image, stored[:, :, index].T, facts)
    _add_extra(image, facts)
    return image


def _start(sop_class: str, facts: SeriesFacts, instance: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid_of(facts.series_uid, instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.PatientName, image.PatientID = f"Test^{facts.patient}", facts.patient
    image.PatientBirthDate, image.PatientSex = "19700101", "O"
    image.StudyInstanceUID, image.StudyID, image.StudyDate, image.StudyTime = facts.study_uid, "1", "20200101", "120000"
    image.AccessionNumber, image.ReferringPhysicianName, image.StudyDescription = "", "", "MR head"
    image.SeriesInstanceUID, image.SeriesNumber = facts.series_uid, facts.number
    image.SeriesDate, image.SeriesTime = "20200101", f"12{facts.number % 60:02d}00"
    image.AcquisitionDate, image.AcquisitionTime = image.SeriesDate, image.SeriesTime
    image.ContentDate, image.ContentTime = image.SeriesDate, image.SeriesTime
    image.SeriesDescription, image.ProtocolName = facts.description, facts.protocol or facts.description
    image.Modality, image.Manufacturer, image.BodyPartExamined = facts.modality, facts.manufacturer, "HEAD"
    image.ManufacturerModelName, image.PatientPosition = "Test", "HFS"
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = facts.frame_of_reference_uid, ""
    image.MagneticFieldStrength, image.AcquisitionNumber = facts.field_t, 1
    return image


def _add_physics(image: Dataset, facts: SeriesFacts) -> None:
    image.ScanningSequence = _multiple(facts.scanning_sequence)
    image.SequenceVariant = _multiple(facts.sequence_variant)
    image.ScanOptions = _multiple(facts.scan_options)
    image.MRAcquisitionType = "3D" if facts.acquisition_3d else "2D"
    optional = {
        "RepetitionTime": facts.repetition_ms,
        "EchoTime": facts.echo_ms,
        "InversionTime": facts.inversion_ms,
        "FlipAngle": facts.flip_deg,
        "SequenceName": facts.sequence_name,
        "ContrastBolusAgent": facts.contrast,
    }
    for keyword, value in optional.items():
        if value is not None:
            setattr(image, keyword, value)


def _shared_groups(affine: Array, facts: SeriesFacts) -> Dataset:
    timing, echo, measures, plane, modifier, value = (Dataset() for _ in range(6))
    timing.RepetitionTime, timing.FlipAngle = facts.repetition_ms, facts.flip_deg
    echo.EffectiveEchoTime = facts.echo_ms
    measures.PixelSpacing = _pixel_spacing(affine)
    measures.SliceThickness = measures.SpacingBetweenSlices = _slice_step(affine)
    plane.ImageOrientationPatient = orientation_of(affine)
    modifier.InversionRecovery = "YES" if facts.inversion_ms is not None else "NO"
    if facts.inversion_ms is not None:
        modifier.InversionTimes = [facts.inversion_ms]
    value.RescaleIntercept, value.RescaleSlope, value.RescaleType = facts.intercept, facts.slope, "US"
    groups = Dataset()
    groups.MRTimingAndRelatedParametersSequence = DicomSequence([timing])
    groups.MREchoSequence = DicomSequence([echo])
    groups.MRModifierSequence = DicomSequence([modifier])
    groups.PixelMeasuresSequence = DicomSequence([measures])
    groups.PlaneOrientationSequence = DicomSequence([plane])
    groups.PixelValueTransformationSequence = DicomSequence([value])
    return groups


def _frame_groups(affine: Array, index: int) -> Dataset:
    content, position = Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = "1", index + 1
    content.DimensionIndexValues = [1, index + 1]
    position.ImagePositionPatient = position_of(affine, index)
    groups = Dataset()
    groups.FrameContentSequence = DicomSequence([content])
    groups.PlanePositionSequence = DicomSequence([position])
    return groups


def _add_pixels(image: Dataset, pixels: Array, facts: SeriesFacts) -> None:
    image.Rows, image.Columns = pixels.shape[-2:]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, facts.bits, facts.bits - 1
    image.PixelRepresentation = int(facts.signed)
    image.PixelData = np.ascontiguousarray(pixels).tobytes()
    image["PixelData"].VR = "OW"


def _add_extra(image: Dataset, facts: SeriesFacts) -> None:
    for keyword, value in facts.extra.items():
        if value is not None:
            setattr(image, keyword, value)
        elif keyword in image:
            delattr(image, keyword)


def _stored(data: Array, facts: SeriesFacts) -> Array:
    stored = np.rint((np.asarray(data, np.float64) - facts.intercept) / facts.slope)
    low, high = (-(1 << (facts.bits - 1)), (1 << (facts.bits - 1)) - 1) if facts.signed else (0, (1 << facts.bits) - 1)
    if stored.min() < low or stored.max() > high:
        raise ValueError(f"The values {stored.min()} to {stored.max()} do not fit {facts.bits} stored bits.")
    return stored.astype("<i2" if facts.signed else "<u2")


def _pixel_spacing(affine: Array) -> list[float]:
    """Return the distances between rows and between columns."""
    return [round(float(np.linalg.norm(affine[:3, axis])), 6) for axis in (1, 0)]


def _slice_step(affine: Array) -> float:
    return round(float(np.linalg.norm(affine[:3, 2])), 6)


def _multiple(value: str | Sequence[str]) -> str | list[str]:
    return value if isinstance(value, str) else list(value)
