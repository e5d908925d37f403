"""Unpack untrusted zip files after inspection, with limits of size and safe names."""

import errno
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brats_mm.errors import InputError
from brats_mm.io.dicom.header import starts_as_dicom
from brats_mm.io.suffixes import MAX_VOLUMES, find_image_suffix, holds_voxels
from brats_mm.io.unfetched import MAX_POINTER_BYTES, is_pointer

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x07"
_END_BYTES = 22
_MAX_COMMENT_BYTES = 2**16
_DIRECTORY_BYTES_AN_ENTRY = 2048
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_PART_LENGTH = 120
_MAX_NAME_BYTES = 250
_SAFE = frozenset("._+- ()[],")


class ZipError(InputError):
    """The zip file is damaged or unsafe."""


class ZipTooLarge(ZipError):  # noqa: N818 (a kind of ZipError)
    """The zip file exceeds the limits when unpacked."""


@dataclass(frozen=True)
class ZipLimits:
    """Limits of a zip file.

    Attributes:
        entries: maximum number of files and folders.
        unpacked_bytes: maximum total size of the unpacked files, measured while unpacking.
        file_bytes: maximum size of one unpacked file.
    """

    entries: int = 50_000
    unpacked_bytes: int = 16 << 30
    file_bytes: int = 4 << 30


@dataclass(frozen=True)
class Unpacked:
    """Result of unpacking a zip file.

    Attributes:
        folder: folder of the files.
        passed_over: reason for each skipped entry.
        is_dicom: whether the zip file held no volume files, so all files were unpacked as possible DICOM files.
    """

    folder: Path
    passed_over: dict[str, str]
    is_dicom: bool = False


def is_zip(path: Path) -> bool:
    """Return whether a file starts like a zip file."""
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as stream:
            return stream.read(2) == b"PK"
    except OSError:
        return False


def unpack(archive: Path, folder: Path, limits: ZipLimits | None = None) -> Unpacked:
    """Unpack the images of a case: its volume files, or else files that may be DICOM.

    Args:
        archive: the zip file.
        folder: folder to create, with volume files and at most one level of subfolders, or DICOM files side by side.
        limits: limits of entries and sizes.

    Raises:
        ZipTooLarge: the zip file exceeds the limits when unpacked.
        ZipError: the zip file is damaged or unsafe. Only images were written.
        OSError: the disk is full.
    """
    bounds = limits or ZipLimits()
    _check_directory(archive, bounds)
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            return _unpack(opened, folder, bounds)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise _zip_error(problem="is damaged or truncated. Create it again") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # its directory refers to positions before its start
            raise _zip_error(problem="is damaged or truncated. Create it again") from error
        raise
    except (UnicodeDecodeError, ValueError, OverflowError, IndexError) as error:
        raise _zip_error(problem="has unreadable entries. Create it again") from error


def _check_directory(archive: Path, limits: ZipLimits) -> None:
    """Check the size of the zip file's directory before it is read."""
    size = archive.stat().st_size
    with archive.open("rb") as stream:
        stream.seek(max(0, size - _MAX_COMMENT_BYTES - _END_BYTES - 20))
        tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _zip_error(problem="is damaged or truncated, or is not a zip file. Create it again")
    if _END_64 in tail[max(0, at - 20) : at]:
        raise _zip_error(problem="is a ZIP64 file. Zip one case, without ZIP64")
    entries, directory = struct.unpack("<HI", tail[at + 10 : at + 16])
    if entries > limits.entries or directory > limits.entries * _DIRECTORY_BYTES_AN_ENTRY:
        raise _make_too_many_error(limits)


def _unpack(opened: zipfile.ZipFile, folder: Path, limits: ZipLimits) -> Unpacked:
    entries = [entry for entry in opened.infolist() if not entry.filename.endswith("/")]
    if len(entries) > limits.entries:
        raise _make_too_many_error(limits)
    for entry in entries:
        _check_entry(entry)
    visible = [entry for entry in entries if not _is_hidden(entry)]
    images = [entry for entry in visible if _is_image(entry)]
    if not any(find_image_suffix(entry.filename) for entry in images):
        return _unpack_dicom(opened, visible, folder, limits)
    if len(images) > MAX_VOLUMES:
        raise _zip_error(problem=f"holds {len(images):,} volume files, but a case has only a few. Zip only one case")
    shared = _count_shared_folders([PurePosixPath(entry.filename) for entry in images])
    targets = ((entry, _make_output_path(folder, PurePosixPath(entry.filename), shared)) for entry in images)
    _write_all(opened, targets, limits)
    image_ids = {id(entry) for entry in images}
    passed_over = {entry.filename[-200:]: "it is not an image" for entry in visible if id(entry) not in image_ids}
    return Unpacked(folder, passed_over)


def _unpack_dicom(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path, limits: ZipLimits) -> Unpacked:
    """Write files that start like DICOM files, and pointers to files that were not fetched. Skip the rest."""
    images = [entry for entry in entries if _may_be_dicom(opened, entry)]
    if entries and not images:
        files = "1 file" if len(entries) == 1 else f"{len(entries):,} files"
        raise _zip_error(problem=f"holds {files}, but none is a volume or DICOM. Zip the images of one case")
    names = (_make_safe_name(PurePosixPath(entry.filename).name) for entry in images)  # often shared: number them
    targets = (folder / f"{number:06d}_{name}" for number, name in enumerate(names))
    _write_all(opened, zip(images, targets, strict=True), limits)
    count = len(entries) - len(images)
    if not count:
        return Unpacked(folder, {}, is_dicom=True)
    image_ids = {id(entry) for entry in images}
    name = next(entry.filename for entry in entries if id(entry) not in image_ids)[-200:]
    names_text = name if count == 1 else f"{name} and {count - 1:,} more"
    return Unpacked(folder, {names_text: "it is not DICOM"}, is_dicom=True)


def _may_be_dicom(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Return whether an entry starts like DICOM, or is a pointer, so that the reader warns about missing slices."""
    with opened.open(entry) as source:
        head = source.read(1024)
    return starts_as_dicom(head[:132]) or (entry.file_size <= MAX_POINTER_BYTES and is_pointer(head))


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name, mode = entry.filename, entry.external_attr >> 16
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\\" in name:
        raise _zip_error(problem="has entries with paths outside its folder. Create it again with plain names")
    if any(unicodedata.category(letter).startswith("C") for letter in name):
        raise _zip_error(problem="has entries with control characters in their names. Create it again with plain names")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _zip_error(problem="holds links or devices. Fetch linked files, and zip the files themselves")
    if entry.flag_bits & 0x1:
        raise _zip_error(problem="is encrypted. Send it unencrypted over an encrypted connection")
    if entry.compress_type not in _METHODS:
        raise _zip_error(problem="uses an unsupported compression. Create it again with deflate compression")


def _is_hidden(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_image(entry: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(entry.filename).name
    return find_image_suffix(name) is not None or holds_voxels(name) or name == "dataset.json"


def _count_shared_folders(names: list[PurePosixPath]) -> int:
    """Return the number of leading folders that all images share.

    For `cases/a/b/x.nii.gz` alone, these are all but `b`.
    """
    shared = 0
    parents = [name.parts[:-1] for name in names]
    while parents and all(len(parts) > shared for parts in parents) and len({parts[shared] for parts in parents}) == 1:
        shared += 1
    return shared


def _make_output_path(folder: Path, name: PurePosixPath, shared: int) -> Path:
    """Return the output path of a volume: below `folder`, at most one level deep, with safe characters."""
    below = [_make_safe_name(part) for part in name.parts[shared:]]
    target = folder / below[0] if len(below) == 1 else folder / _make_safe_name("_".join(below[:-1])) / below[-1]
    if target.exists():
        raise _zip_error(problem="holds two files with the same name. Create it again with one file per sequence")
    try:
        target.parent.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise _zip_error(
            problem="holds a file and a folder with the same name. Create it again with plain names"
        ) from error
    return target


def _make_safe_name(part: str) -> str:
    """Return a file name with safe characters that is read as the same sequence, also for `T1 (C+)` and `T2*`."""
    starred = unicodedata.normalize("NFC", part.replace("*", "star"))
    safe = "".join(letter if letter.isalnum() or letter in _SAFE else "_" for letter in starred)
    while len(safe[-_MAX_PART_LENGTH:].encode()) > _MAX_NAME_BYTES:
        safe = safe[1:]
    return safe[-_MAX_PART_LENGTH:].lstrip(".") or "_"


def _write_all(opened: zipfile.ZipFile, targets: Iterable[tuple[zipfile.ZipInfo, Path]], limits: ZipLimits) -> None:
    remaining = limits.unpacked_bytes
    for entry, target in targets:
        remaining -= _write(opened, entry, target, min(remaining, limits.file_bytes))


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, most: int) -> int:
    written = 0
    with opened.open(entry) as source, path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > most:
                raise ZipTooLarge("The zip file is too large when unpacked. Zip only one case.")
            target.write(chunk)
    return written


def _make_too_many_error(limits: ZipLimits) -> ZipError:
    return _zip_error(problem=f"has more than the {limits.entries} entries allowed. Zip only the images of the case")


def _zip_error(*, problem: str) -> ZipError:
    return ZipError(f"The zip file {problem}.")
