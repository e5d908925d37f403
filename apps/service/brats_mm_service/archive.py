"""Zip archives from strangers: looked through first, then unpacked within bounds, under names made harmless."""

import errno
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brats_mm.io.nifti import image_suffix
from brats_mm_service.problems import Problem
from brats_mm_service.settings import MIB, UploadLimits

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x07"
_END_BYTES = 22
_LONGEST_COMMENT = 2**16
_LARGEST_DIRECTORY = 4 * MIB
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DICOM = (".dcm", ".ima", ".dicom")
_LONGEST_PART = 120


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive.

    Attributes:
        folder: with the images.
        passed_over: entries that were not unpacked -> why.
    """

    folder: Path
    passed_over: dict[str, str]


def unpack(archive: Path, folder: Path, limits: UploadLimits) -> Unpacked:
    """Unpack the images of a case.

    Args:
        archive: the uploaded file.
        folder: is made, and gets the images with at most one level of sub-folders.
        limits: for entries and sizes; sizes count as they come out, whatever the archive declares.

    Raises:
        Problem: the archive is damaged, hostile, too large, or of DICOM files.
        OSError: the disk is full.
    """
    _check_directory(archive, limits)
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            return _unpack(opened, folder, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise _bad("is damaged or cut off. Make it again") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # its table of contents names places before its beginning
            raise _bad("is damaged or cut off. Make it again") from error
        raise
    except (UnicodeDecodeError, ValueError, OverflowError, IndexError) as error:
        raise _bad("has entries that cannot be read. Make it again") from error


def _check_directory(archive: Path, limits: UploadLimits) -> None:
    """Judge the archive's own table of contents by its size before it is read."""
    size = archive.stat().st_size
    with archive.open("rb") as stream:
        stream.seek(max(0, size - _LONGEST_COMMENT - _END_BYTES - 20))
        tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _bad("is damaged or cut off, or is no zip. Make it again")
    if _END_64 in tail[max(0, at - 20) : at]:
        raise _bad("is a ZIP64 archive. Pack one case, without ZIP64")
    entries, directory = (
        struct.unpack("<H", tail[at + 10 : at + 12])[0],
        struct.unpack("<I", tail[at + 12 : at + 16])[0],
    )
    if entries > limits.archive_entries or directory > _LARGEST_DIRECTORY:
        raise _bad(
            f"has more than {limits.archive_entries} entries, the most allowed here. Pack only the case's images"
        )


def _unpack(opened: zipfile.ZipFile, folder: Path, limits: UploadLimits) -> Unpacked:
    entries = [entry for entry in opened.infolist() if not entry.filename.endswith("/")]
    if len(entries) > limits.archive_entries:
        raise _bad(
            f"has more than {limits.archive_entries} entries, the most allowed here. Pack only the case's images"
        )
    for entry in entries:
        _check_entry(entry)
    if any(entry.filename.lower().endswith(_DICOM) for entry in entries):
        message = (
            "The archive holds DICOM files. DICOM series must be converted to NIfTI first, for example with dcm2niix."
        )
        raise Problem("unsupported-content", message)
    passed_over: dict[str, str] = {}
    left = limits.unpacked_bytes
    shared = _shared_folders([PurePosixPath(entry.filename) for entry in entries if _is_wanted(entry)])
    for entry in entries:
        if not _is_wanted(entry):
            if not _is_hidden(entry):
                passed_over[entry.filename[-200:]] = "it is not an image"
            continue
        place = _place(folder, PurePosixPath(entry.filename), shared)
        left -= _write(opened, entry, place, min(left, limits.file_bytes * 4))
    return Unpacked(folder, passed_over)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name, mode = entry.filename, entry.external_attr >> 16
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\\" in name:
        raise _bad("has entries with names that lead out of its folder. Make it again with plain names")
    if any(ord(letter) < 32 for letter in name):
        raise _bad("has entries with control characters in their names. Make it again with plain names")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _bad("holds links or devices. Pack the files themselves")
    if entry.flag_bits & 0x1:
        raise _bad("is encrypted. Send it without a password, over an encrypted connection")
    if entry.compress_type not in _METHODS:
        raise _bad("is compressed in an unusual way. Make it again with ordinary (deflate) compression")


def _is_hidden(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    if _is_hidden(entry):
        return False
    return image_suffix(entry.filename) is not None or PurePosixPath(entry.filename).name == "dataset.json"


def _shared_folders(names: list[PurePosixPath]) -> int:
    """How many folders all images lie in: an archive of `cases/a/b/x.nii.gz` is one of `b`."""
    shared = 0
    parents = [name.parts[:-1] for name in names]
    while parents and all(len(parts) > shared for parts in parents) and len({parts[shared] for parts in parents}) == 1:
        shared += 1
    return shared


def _place(folder: Path, name: PurePosixPath, shared: int) -> Path:
    """Where an entry is written: below `folder`, at most one level deep, in harmless letters."""
    below = [_harmless(part) for part in name.parts[shared:]]
    place = folder / below[0] if len(below) == 1 else folder / "_".join(below[:-1])[-_LONGEST_PART:] / below[-1]
    if place.exists():
        raise _bad("holds two files of the same name. Make it again with one file a sequence")
    place.parent.mkdir(exist_ok=True)
    return place


def _harmless(part: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "_", part)[-_LONGEST_PART:].lstrip(".") or "_"


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, most: int) -> int:
    written = 0
    with opened.open(entry) as source, place.open("xb") as target:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > most:
                message = "The archive unpacks to more than is allowed here. Pack one case only, its images as .nii.gz."
                raise Problem("too-large", message)
            target.write(chunk)
    return written


def _bad(what: str) -> Problem:
    return Problem("bad-archive", f"The archive {what}.")
