"""What a file is by its content, and whether its header tells the truth: before it is accepted, and without its voxels.

Only Python looks at uploads here. The libraries that read voxels run in the worker.
"""

import math
import re
import zlib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from brats_mm.errors import VolumeError
from brats_mm.io.itk_header import check_header, check_metaimage_size, damaged
from brats_mm.io.nifti import check_nifti_header, image_suffix
from brats_mm.io.volume_checks import check_spacing, spatial_shape
from brats_mm_service.problems import Problem

_HEAD = 1024
_CHUNK = 1 << 20
_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t", "double"), 8),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), 8),
}


class Content(Enum):
    """Kinds of file, with the suffix under which they are stored."""

    NIFTI = ".nii"
    NIFTI_GZIP = ".nii.gz"
    NRRD = ".nrrd"
    METAIMAGE = ".mha"
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
}
VOLUMES = (Content.NIFTI, Content.NIFTI_GZIP, Content.NRRD, Content.METAIMAGE)


def content_of(path: Path) -> Content:  # noqa: PLR0911 (one answer a signature)
    """What the file is, by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(b"PK"):
        return Content.ZIP
    if head[128:132] == b"DICM":
        return Content.DICOM
    if head.startswith(b"NRRD"):
        return Content.NRRD
    if head.startswith(b"\x1f\x8b"):
        return Content.NIFTI_GZIP if _is_nifti(_inflated(head)) else Content.OTHER
    if _is_nifti(head):
        return Content.NIFTI
    if re.search(rb"^\s*NDims\s*=", head, re.MULTILINE):
        return Content.METAIMAGE
    return Content.OTHER


def _is_nifti(head: bytes) -> bool:
    return any(int.from_bytes(head[:4], order) in (348, 540) for order in ("little", "big"))


def _inflated(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def checked_content(path: Path, field: str, filename: str) -> Content:
    """The kind of an uploaded volume.

    Raises:
        Problem: it is no volume, or not of the kind that its name says.
    """
    found = content_of(path)
    if found is Content.DICOM:
        message = f"{field} is one DICOM file. Send the whole study as a zip, as the part 'case'."
        raise Problem("unsupported-content", message)
    if found is Content.ZIP:
        message = f"{field} is a zip archive. Send the archive of a whole case as the part 'case'."
        raise Problem("unsupported-content", message)
    if found not in VOLUMES:
        message = f"{field} is not a volume file by its content. Send one of .nii.gz, .nii, .nrrd, .mha."
        raise Problem("unsupported-content", message)
    suffix = image_suffix(filename)
    if suffix is not None and found not in _BY_SUFFIX[suffix]:
        message = f"{field} is named {suffix}, but its content is {found.value}. Send it under its right name."
        raise Problem("unsupported-content", message)
    return found


def check_volume(path: Path) -> None:
    """Check a stored volume's header, and that it holds as many bytes as the header says; keeps no voxels.

    Raises:
        VolumeError: the header is damaged, lies, or describes what cannot be used.
    """
    suffix = image_suffix(path.name)
    if suffix in (".nii", ".nii.gz"):
        check_nifti_header(path)
        return
    check_header(path)
    try:
        if suffix == ".nrrd":
            _check_nrrd(path)
        else:
            _check_metaimage(path)
    except (ValueError, KeyError, OverflowError, zlib.error) as error:
        raise damaged(path) from error


def _check_nrrd(path: Path) -> None:
    head, offset = _nrrd_head(path)
    sizes = [int(size) for size in head["sizes"].split()]
    if len(sizes) != int(head["dimension"]) or len(sizes) > 16:
        raise damaged(path)
    shape = spatial_shape(sizes, path)
    needed = math.prod(shape) * _NRRD_BYTES[head["type"].lower()]
    encoding = head["encoding"].lower()
    if encoding == "raw":
        if path.stat().st_size - offset < needed:
            raise damaged(path)
    elif encoding in ("gzip", "gz"):
        _check_inflates(path, offset, needed, window=47)
    else:
        message = f"{path.name} has its voxels encoded as {encoding[:20]}. Save it with raw or gzip encoding."
        raise VolumeError(message)


def _nrrd_head(path: Path) -> tuple[dict[str, str], int]:
    with path.open("rb") as stream:
        start = stream.read(1 << 16)
    end = re.search(rb"\r?\n\r?\n", start)
    if end is None:
        raise damaged(path)
    fields = {}
    for line in start[: end.start()].decode("latin-1").splitlines()[1:]:
        key, colon, value = line.partition(": ")
        if colon and not line.startswith("#"):
            fields[key.strip().lower()] = value.strip()
    return fields, end.end()


def _check_metaimage(path: Path) -> None:
    with path.open("rb") as stream:
        text = stream.read(1 << 16).split(b"ElementDataFile", 1)[0].decode("latin-1")
    fields = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))
    sizes = [int(size) for size in fields["DimSize"].split()]
    if len(sizes) != int(fields["NDims"]) or len(sizes) > 16:
        raise damaged(path)
    spatial_shape(sizes, path)
    spacing = fields.get("ElementSpacing") or fields.get("ElementSize")
    if spacing is not None:
        check_spacing([float(value) for value in spacing.split()[:3]], path)
    check_metaimage_size(path)


def _check_inflates(path: Path, offset: int, needed: int, *, window: int) -> None:
    """Raise unless the compressed data from `offset` on hold at least `needed` bytes; counts them, and keeps none."""
    held = sum(_inflated_sizes(path, offset, needed, window))
    if held < needed:
        raise damaged(path)


def _inflated_sizes(path: Path, offset: int, needed: int, window: int) -> Iterator[int]:
    inflate, held = zlib.decompressobj(window), 0
    with path.open("rb") as stream:
        stream.seek(offset)
        while held < needed and not inflate.eof:
            data = inflate.unconsumed_tail or stream.read(_CHUNK)
            if not data:
                return
            size = len(inflate.decompress(data, _CHUNK))
            held += size
            yield size
