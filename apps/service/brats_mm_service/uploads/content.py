"""Recognise uploaded files by content, and check their headers before accepting them, without keeping voxels.

Only Python code reads uploads here. Libraries that read voxels run in the worker.
"""

import re
import zlib
from enum import Enum
from pathlib import Path

from brats_mm.io import volume
from brats_mm.io.suffixes import PAIR_SUFFIXES, find_image_suffix
from brats_mm_service.problems import Problem

_HEAD = 1024


class Content(Enum):
    """Kind of a file. The value is the suffix of the stored file."""

    NIFTI = ".nii"
    NIFTI_GZIP = ".nii.gz"
    NRRD = ".nrrd"
    METAIMAGE = ".mha"
    MGH = ".mgh"
    MGZ = ".mgz"
    ZIP = ".zip"
    DICOM = ".dcm"
    OTHER = ""


_BY_SUFFIX = {
    ".nii": (Content.NIFTI, Content.NIFTI_GZIP),
    ".nii.gz": (Content.NIFTI, Content.NIFTI_GZIP),
    ".nrrd": (Content.NRRD,),
    ".nrd": (Content.NRRD,),
    ".mha": (Content.METAIMAGE,),
    ".mhd": (Content.METAIMAGE,),
    ".nhdr": (Content.NRRD,),
    ".mgh": (Content.MGH, Content.MGZ),
    ".mgz": (Content.MGH, Content.MGZ),
}
VOLUMES = (
    Content.NIFTI,
    Content.NIFTI_GZIP,
    Content.NRRD,
    Content.METAIMAGE,
    Content.MGH,
    Content.MGZ,
)


def detect_content(path: Path) -> Content:  # noqa: PLR0911 (one return per signature)
    """Recognise a file by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(b"PK"):
        return Content.ZIP
    if head[128:132] == b"DICM":
        return Content.DICOM
    if head.startswith(b"NRRD"):
        return Content.NRRD
    if head.startswith(b"\x1f\x8b"):
        inner = _inflate(head)
        return Content.NIFTI_GZIP if _is_nifti(inner) else Content.MGZ if _is_mgh(inner) else Content.OTHER
    if _is_nifti(head):
        return Content.NIFTI
    if _is_mgh(head):
        return Content.MGH
    if re.search(rb"^\s*NDims\s*=", head, re.MULTILINE):
        return Content.METAIMAGE
    return Content.OTHER


def _is_nifti(head: bytes) -> bool:
    return any(int.from_bytes(head[:4], order) in (348, 540) for order in ("little", "big"))


def _is_mgh(head: bytes) -> bool:
    """Return whether bytes start like a FreeSurfer volume: version 1, four sizes and a voxel type, big-endian."""
    integers = [int.from_bytes(head[at : at + 4], "big") for at in range(0, 24, 4)]
    return (
        len(head) >= 284
        and integers[0] == 1
        and min(integers[1:5]) > 0
        and max(integers[1:5]) < 2**16
        and integers[5] <= 10
    )


def _inflate(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def check_content(path: Path, field: str, filename: str) -> Content:
    """Recognise the kind of an uploaded volume.

    Args:
        path: received file.
        field: name of the form field or file, for error messages.
        filename: the caller's name of the file.

    Raises:
        Problem: the file is not a volume, or its content does not match its suffix.
    """
    content = detect_content(path)
    if content is Content.DICOM:
        message = f"{field} is one DICOM file. Send the whole study as a zip in the form field 'case'."
        raise Problem("unsupported-content", message)
    if content is Content.ZIP:
        message = f"{field} is a zip file. Send the zip of a whole case in the form field 'case'."
        raise Problem("unsupported-content", message)
    if content not in VOLUMES:
        message = f"{field} is not a volume file by its content. Send one of .nii.gz, .nii, .nrrd, .mha."
        raise Problem("unsupported-content", message)
    suffix = find_image_suffix(filename)
    if suffix in (*PAIR_SUFFIXES, *PAIR_SUFFIXES.values()):
        message = f"{field} is half of a two-file image ({suffix}). Convert the pair to one file, for example .nii.gz."
        raise Problem("unsupported-content", message)
    if suffix is not None and content not in _BY_SUFFIX[suffix]:
        message = f"{field} has the suffix {suffix}, but its content is {content.value}. Rename it and send it again."
        raise Problem("unsupported-content", message)
    return content


def check_volume(path: Path) -> None:
    """Check the header and length of a stored volume without keeping voxels.

    Raises:
        VolumeError: the header is damaged or wrong, refers to another file, or describes unusable voxels.
    """
    volume.check_volume(path, one_file=True)
