"""Read the header of a DICOM file as plain data, with pydicom and without voxels."""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

from brats_mm.io.dicom.facts import Physics
from brats_mm.io.dicom.frames import read_frames
from brats_mm.io.dicom.slices import FileHeader, Identity, Slice, Stored
from brats_mm.io.dicom.suppress_warnings import suppress_warnings
from brats_mm.io.dicom.values import read_integer, read_number, read_placement, read_text, read_words

ENHANCED = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4", "1.2.840.10008.5.1.4.1.1.4.3")
"""Enhanced MR, legacy converted enhanced MR, enhanced MR colour."""
_CLASSIC = "1.2.840.10008.5.1.4.1.1.4"
_SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_DICOMDIR = "1.2.840.10008.1.3.10"
_COMPRESSED_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")
"""JPEG baseline and extended, near-lossless JPEG-LS."""
_MAX_ELEMENT_BYTES = 64 << 20
"""Longer elements are skipped, because no attribute of interest is that long."""


class NotAnImage(Exception):  # noqa: N818 (control flow, not an error)
    """The file is not a usable image. The message gives the reason."""


def read_header(path: Path) -> FileHeader:
    """Read the header of a file. Checks the length of the voxel data without reading it.

    Raises:
        NotAnImage: the file is not a DICOM image, or is truncated. The message is a clause.
    """
    from pydicom.errors import InvalidDicomError

    try:
        with _HeaderStream(io.FileIO(path)) as stream:
            head = stream.read(132)
            is_bare = head[128:132] != b"DICM"
            if is_bare and not _looks_bare(head):
                raise NotAnImage("it is not DICOM")
            with suppress_warnings():
                return _read(stream, path, force=is_bare)
    except NotAnImage:
        raise
    except InvalidDicomError:
        raise NotAnImage("it is not DICOM") from None
    except OSError as error:
        raise NotAnImage(f"it cannot be read ({error.strerror or 'unknown reason'})") from error
    except EOFError:
        raise NotAnImage("it is truncated") from None
    except Exception as error:
        raise NotAnImage(f"its header is damaged ({type(error).__name__})") from error


class _HeaderStream(io.BufferedReader):
    """Stream that rejects reads to the end of the file in one call.

    pydicom does such reads only for deflated headers, which could unpack to any size. Scanners and archives do not send
    them.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise NotAnImage("its header is deflated. Store it in another transfer syntax")
        return super().read(size)


def _read(stream: _HeaderStream, path: Path, *, force: bool) -> FileHeader:
    import pydicom

    stream.seek(0)
    dataset = pydicom.dcmread(stream, defer_size=_MAX_ELEMENT_BYTES, stop_before_pixels=True, force=force)
    at = stream.tell()
    return _read_header(dataset, path, stream.seek(0, io.SEEK_END) - at)


def is_dicom(path: Path) -> bool:
    """Return whether a file looks like DICOM by its first bytes."""
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as stream:
            head = stream.read(132)
    except OSError:
        return False
    return starts_as_dicom(head)


def starts_as_dicom(head: bytes) -> bool:
    """Return whether the first 132 bytes of a file look like DICOM."""
    return head[128:132] == b"DICM" or _looks_bare(head)


def _looks_bare(head: bytes) -> bool:
    """Return whether bytes look like an old file without a preamble: group 8 or 2, low element, plausible length."""
    if (
        len(head) < 16
        or head[:2] not in (b"\x08\x00", b"\x02\x00")
        or head[2:4] not in (b"\x00\x00", b"\x05\x00", b"\x08\x00", b"\x16\x00")
    ):
        return False
    return head[4:6].isalpha() or int.from_bytes(head[4:8], "little") < 128


def _read_header(dataset: Any, path: Path, pixel_bytes: int) -> FileHeader:
    sop_class = read_text(dataset, "SOPClassUID") or read_text(dataset.file_meta, "MediaStorageSOPClassUID")
    if sop_class == _DICOMDIR or "DirectoryRecordSequence" in dataset:
        raise NotAnImage("it is a DICOMDIR, and the files that it lists are read directly")
    if not sop_class and not read_text(dataset, "SeriesInstanceUID"):
        raise NotAnImage("it is not a DICOM image")
    if "Rows" not in dataset or "Columns" not in dataset:
        raise NotAnImage("it is a DICOM object without an image" if sop_class else "its header is truncated")
    identity, physics = _read_identity(dataset), _read_physics(dataset, sop_class)
    stored = _read_stored(dataset)
    _check_length(dataset, stored, pixel_bytes, path)
    if sop_class in ENHANCED or "PerFrameFunctionalGroupsSequence" in dataset:
        frames = read_frames(dataset, path, stored)
        return FileHeader(identity, frames.physics(physics), frames.slices)
    return FileHeader(identity, physics, (_slice(dataset, path, stored),))


def _read_identity(dataset: Any) -> Identity:
    patient = (
        read_text(dataset, "PatientID")
        or f"{read_text(dataset, 'PatientName')}|{read_text(dataset, 'PatientBirthDate')}"
    )
    return Identity(
        patient=hashlib.sha256(patient.strip().casefold().encode()).hexdigest()[:16],
        study_uid=read_text(dataset, "StudyInstanceUID"),
        series_uid=read_text(dataset, "SeriesInstanceUID"),
        frame_of_reference=read_text(dataset, "FrameOfReferenceUID"),
        series_number=read_integer(dataset, "SeriesNumber"),
        study_date=read_text(dataset, "StudyDate"),
    )


def _read_physics(dataset: Any, sop_class: str) -> Physics:
    acquisition = read_text(dataset, "MRAcquisitionType").upper()
    return Physics(
        modality=read_text(dataset, "Modality").upper(),
        sop_class=_find_kind(sop_class),
        description=read_text(dataset, "SeriesDescription"),
        protocol=read_text(dataset, "ProtocolName"),
        sequence_name=read_text(dataset, "SequenceName") or read_text(dataset, "PulseSequenceName"),
        scanning_sequence=read_words(dataset, "ScanningSequence"),
        sequence_variant=read_words(dataset, "SequenceVariant"),
        scan_options=read_words(dataset, "ScanOptions"),
        contrast_agent=_read_agent(dataset),
        acquisition_contrast=read_text(dataset, "AcquisitionContrast").upper(),
        repetition_ms=read_number(dataset, "RepetitionTime"),
        inversion_ms=read_number(dataset, "InversionTime"),
        flip_deg=read_number(dataset, "FlipAngle"),
        is_3d={"3D": True, "2D": False}.get(acquisition),
        is_angio=read_text(dataset, "AngioFlag").upper() == "Y",
        body_part=read_text(dataset, "BodyPartExamined").upper(),
        is_annotated=read_text(dataset, "BurnedInAnnotation").upper() == "YES",
        acquired_s=_parse_seconds(
            read_text(dataset, "AcquisitionDateTime")[8:] or read_text(dataset, "AcquisitionTime")
        ),
    )


def _find_kind(sop_class: str) -> str:
    if sop_class == _CLASSIC:
        return "MR"
    if sop_class in ENHANCED:
        return "enhanced MR"
    if sop_class.startswith(_SECONDARY):
        return "secondary capture"
    return "spectroscopy" if sop_class == _SPECTROSCOPY else "other"


def _read_agent(dataset: Any) -> str:
    agents = dataset.get("ContrastBolusAgentSequence") or ()
    names = [read_text(agent, "CodeMeaning") for agent in agents]
    return read_text(dataset, "ContrastBolusAgent") or ", ".join(filter(None, names))


def _read_stored(dataset: Any) -> Stored:
    frames = read_integer(dataset, "NumberOfFrames") or 1
    rows, columns = read_integer(dataset, "Rows") or 0, read_integer(dataset, "Columns") or 0
    if not (0 < rows <= 4096 and 0 < columns <= 4096 and 0 < frames <= 65536):
        raise NotAnImage(f"its header describes {rows} x {columns} voxels in {frames} frames")
    photometric = read_text(dataset, "PhotometricInterpretation")
    monochrome = (read_integer(dataset, "SamplesPerPixel") or 1) == 1 and photometric in ("MONOCHROME2", "")
    syntax = read_text(dataset.file_meta, "TransferSyntaxUID")
    lossy = syntax in _LOSSY or read_text(dataset, "LossyImageCompression") == "01"
    return Stored(rows, columns, frames, syntax, monochrome, lossy)


def _check_length(dataset: Any, stored: Stored, pixel_bytes: int, path: Path) -> None:
    bits = read_integer(dataset, "BitsAllocated") or 16
    if stored.transfer_syntax in _UNCOMPRESSED or not stored.transfer_syntax:
        samples = read_integer(dataset, "SamplesPerPixel") or 1
        if pixel_bytes < stored.rows * stored.columns * stored.frames * samples * bits // 8:
            raise NotAnImage("it is truncated: it contains fewer voxels than its header states")
    elif pixel_bytes < 16 or not _ends_well(path):
        raise NotAnImage("it is truncated: its compressed image has no end")


def _ends_well(path: Path) -> bool:
    if path.stat().st_size < 1024:
        return True
    with path.open("rb") as stream:
        stream.seek(-min(path.stat().st_size, 1 << 16), 2)
        return _COMPRESSED_END in stream.read()


def _slice(dataset: Any, path: Path, stored: Stored) -> Slice:
    return Slice(
        path=path,
        frame=0,
        instance_uid=read_text(dataset, "SOPInstanceUID"),
        number=read_integer(dataset, "InstanceNumber") or 0,
        **read_placement(dataset, dataset, dataset),
        stored=stored,
        slope=read_number(dataset, "RescaleSlope") or 1.0,
        intercept=read_number(dataset, "RescaleIntercept") or 0.0,
        echo_ms=read_number(dataset, "EchoTime"),
        image_type=read_words(dataset, "ImageType"),
        acquisition=read_integer(dataset, "AcquisitionNumber"),
        temporal=read_integer(dataset, "TemporalPositionIdentifier"),
        b_value=read_number(dataset, "DiffusionBValue"),
        trigger_ms=read_number(dataset, "TriggerTime"),
    )


def _parse_seconds(time: str) -> float | None:
    match = re.match(r"(\d{2})(\d{2})(\d{2})?", time)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds
