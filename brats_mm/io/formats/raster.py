"""Read the voxels that a header of any format describes. Check the length first, and compressed data to the end."""

import bz2
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib
from isal.igzip_lib import IsalError
from nibabel.volumeutils import apply_read_scaling

from brats_mm.domain.volume import Array, Grid
from brats_mm.errors import VolumeError
from brats_mm.io.unfetched import FETCH, MAX_POINTER_BYTES, is_broken_link, is_pointer

MAX_HEADER_BYTES = 2**16
"""Maximum size of a text header in bytes."""

GZIP_MAGIC = b"\x1f\x8b"
MAX_OFFSET = 2**26
_MAX_RATIO = 1100
"""Maximum compression ratio of Deflate. A smaller file cannot hold the voxels of its header."""
_MAX_TRAILING_BYTES = 2**26
_CHUNK = 1 << 20
_ZLIB_OR_GZIP = 47


class Encoding(Enum):
    """Encoding of stored voxels."""

    RAW = "raw"
    GZIP = "gzip"
    ZLIB = "zlib"
    BZIP2 = "bzip2"
    TEXT = "text"


@dataclass(frozen=True, eq=False)
class Raster:
    """Voxels as described by a header.

    Attributes:
        path: file named by the user, for messages.
        data: file with the voxels.
        grid: shape and geometry.
        dtype: type and byte order of a stored voxel.
        encoding: encoding of the stored voxels.
        offset: bytes of `data` before the stored voxels. None if they are its last bytes.
        skip: uncompressed bytes before the stored volumes.
        before, behind: bytes of the other volumes of a four-dimensional file, before and behind this one.
        stored_bytes: bytes of the compressed voxels. None if they extend to the end of the file.
        slope, intercept: grey value = slope x stored + intercept.
        is_exact: whether the file must end after the last voxel.
        notes: repairs of the header, without the file name.
    """

    path: Path
    data: Path
    grid: Grid
    dtype: np.dtype[Any]
    encoding: Encoding = Encoding.RAW
    offset: int | None = 0
    skip: int = 0
    before: int = 0
    behind: int = 0
    stored_bytes: int | None = None
    slope: float = 1.0
    intercept: float = 0.0
    is_exact: bool = True
    notes: tuple[str, ...] = ()

    @property
    def voxel_bytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return self.grid.voxels * self.dtype.itemsize


def make_damaged_header_error(path: Path) -> VolumeError:
    """Return the error for an invalid header."""
    return VolumeError(
        f"{path.name} cannot be read: it is damaged, truncated or not a {path.suffix} file. Copy or convert it again."
    )


@contextmanager
def convert_reading_errors(path: Path) -> Iterator[None]:
    """Convert errors from opening or decompressing a file inside the block to VolumeError.

    Raises:
        VolumeError: the file cannot be opened or decompressed.
    """
    try:
        yield
    except (EOFError, zlib.error, IsalError, gzip.BadGzipFile) as error:  # type: ignore[misc]  # (its stub has no base)
        raise _make_compressed_error(path) from error
    except OSError as error:
        if error.errno is None:  # bz2's error for damaged data
            raise _make_compressed_error(path) from error
        raise VolumeError(
            f"{path} cannot be read: {error.strerror or error}. Check the file and its permissions."
        ) from error


def _make_compressed_error(path: Path) -> VolumeError:
    return VolumeError(
        f"{path.name} is damaged or truncated: its compressed data end early or are invalid. Copy or convert it again."
    )


@contextmanager
def open_file(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a regular file for reading. Rejects pipes and devices without blocking.

    Raises:
        VolumeError: the path is not a regular file.
        OSError: the file cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise VolumeError(f"{path} is not a regular file. Provide a volume file.")
        yield stream


def check_fetched(path: Path) -> None:
    """Reject placeholders for files: a broken link, or a pointer of git-annex or Git LFS.

    Raises:
        VolumeError: the content of the file is not on this machine.
        OSError: the file cannot be opened.
    """
    if is_broken_link(path):
        raise VolumeError(f"{path.name} is a broken link. {FETCH}")
    with open_file(path) as stream:
        start = stream.read(MAX_POINTER_BYTES + 1)
    if not start:
        raise VolumeError(f"{path.name} is empty (0 bytes). Copy it again, or omit the sequence if it is missing.")
    if is_pointer(start):
        raise VolumeError(f"{path.name} is a pointer to a file that was not fetched. {FETCH}")


def read_start(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, decompressed if it is gzipped."""
    with open_file(path) as raw:
        compressed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not compressed:
            return raw.read(size)
        with igzip.IGzipFile(fileobj=raw) as stream:
            return bytes(stream.read(size))


def detect_encoding(path: Path) -> Encoding:
    """Return the encoding of a file, gzip or raw, by its content."""
    with open_file(path) as raw:
        return Encoding.GZIP if raw.read(2) == GZIP_MAGIC else Encoding.RAW


def find_file_beside(header: Path, name: str) -> Path:
    """Return the file with the given name in the header's folder.

    Raises:
        VolumeError: the name is not a plain file name, or the file is missing or elsewhere.
    """
    file = header.parent / name
    if not is_plain_name(name):
        raise VolumeError(
            f"{header.name} keeps its voxels in another folder or in several files. Put header and voxels in one "
            "folder, with the plain file name in the header, or convert it to .nii.gz."
        )
    if os.path.lexists(file) and not file.exists():
        check_fetched(file)
    if not os.path.lexists(file):
        raise VolumeError(
            f"The voxels of {header.name} are missing: {name} is not in the same folder. Copy both files."
        )
    resolved = file.resolve()
    if resolved.parent != header.parent.resolve() or not resolved.is_file():
        raise VolumeError(
            f"The voxels of {header.name} ({name}) are a link to another folder, or not a file. Copy the file into "
            "the folder of the header."
        )
    return resolved


def is_plain_name(name: str) -> bool:
    """Return whether a name is a plain file name without a folder, on every operating system."""
    return (
        0 < len(name) <= 255
        and name == name.strip()
        and name not in (".", "..")
        and not any(letter in '/\\:%*?"<>|' or ord(letter) < 32 or ord(letter) == 127 for letter in name)
    )


def check_length(raster: Raster) -> None:
    """Check that the file contains all voxels, without loading them into memory.

    For gzip, only the length at the end of the stream is checked. `read_voxels` compares the checksum.

    Raises:
        VolumeError: the file has fewer or more voxels than the header states.
    """
    with _open_voxels(raster) as stream:
        if raster.encoding is Encoding.RAW:
            return
        if raster.encoding is Encoding.TEXT:
            _read_text_voxels(stream, raster)
            return
        if _ends_in_length(raster):
            return
        remaining = raster.voxel_bytes
        while remaining > 0 and (chunk := stream.read(min(remaining, _CHUNK))):
            remaining -= len(chunk)
        if remaining > 0:
            raise _make_truncated_error(raster)
        _check_end(stream, raster)


def read_voxels(raster: Raster) -> Array:
    """Read, check and scale all voxels.

    Returns:
        float32 of the grid's shape.

    Raises:
        VolumeError: the data are damaged, or are fewer or more than the header states.
    """
    with _open_voxels(raster) as stream, np.errstate(all="ignore"):
        if raster.encoding is Encoding.TEXT:
            stored = _read_text_voxels(stream, raster)
        else:
            block = np.empty(raster.voxel_bytes, np.uint8)
            if _fill(block.data, stream) < raster.voxel_bytes:
                raise _make_truncated_error(raster)
            _check_end(stream, raster)
            stored = block.view(raster.dtype)
        scaled = apply_read_scaling(stored.reshape(raster.grid.shape, order="F"), raster.slope, raster.intercept)
        return np.asarray(scaled).astype(np.float32, copy=False)


@contextmanager
def _open_voxels(raster: Raster) -> Iterator[io.BufferedIOBase]:
    """Open the uncompressed bytes from the first voxel. Rejects impossible lengths before reading."""
    with open_file(raster.data) as raw:
        size = os.fstat(raw.fileno()).st_size
        offset = size - raster.voxel_bytes if raster.offset is None else raster.offset
        _check_possible(raster, size, offset)
        raw.seek(offset)
        with _open_decoder(raw, raster) as stream:
            _skip(stream, raster)
            yield stream


def _check_possible(raster: Raster, size: int, offset: int) -> None:
    available = size - offset
    if offset < 0 or raster.skip > MAX_OFFSET or available < (raster.stored_bytes or 0):
        raise _make_truncated_error(raster)
    required = _count_bytes(raster)
    if raster.encoding is Encoding.RAW:
        if available < required:
            raise _make_truncated_error(raster)
        if raster.is_exact and available > required:
            raise _make_excess_data_error(raster)
    elif raster.encoding in (Encoding.GZIP, Encoding.ZLIB) and available * _MAX_RATIO < required:
        raise _make_truncated_error(raster)
    elif raster.stored_bytes is not None and available > raster.stored_bytes:
        raise _make_excess_data_error(raster)


def _count_bytes(raster: Raster) -> int:
    return raster.skip + raster.before + raster.voxel_bytes + raster.behind


@contextmanager
def _open_decoder(raw: io.BufferedIOBase, raster: Raster) -> Iterator[io.BufferedIOBase]:
    if raster.encoding is Encoding.GZIP:
        with igzip.IGzipFile(fileobj=raw) as stream:  # several times as fast as GzipFile
            yield stream
    elif raster.encoding is Encoding.BZIP2:
        with bz2.BZ2File(raw) as stream:
            yield stream
    elif raster.encoding is Encoding.ZLIB:
        yield io.BufferedReader(_ZlibStream(raw), _CHUNK)
    else:
        yield raw


class _ZlibStream(io.RawIOBase):
    """Uncompressed bytes of one zlib or gzip stream, which must end at the end of the file with a valid checksum."""

    def __init__(self, raw: io.BufferedIOBase) -> None:
        self._raw = raw
        self._inflate = isal_zlib.decompressobj(_ZLIB_OR_GZIP)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        room = len(target)
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._raw.read(_CHUNK)
            if not data:
                raise EOFError("the stream ends early")
            if chunk := self._inflate.decompress(data, room):
                target[: len(chunk)] = chunk
                return len(chunk)
        if self._inflate.unused_data.strip(b"\0") or self._raw.read(1):
            raise EOFError("data follow the end of the stream")
        return 0


def _skip(stream: io.BufferedIOBase, raster: Raster) -> None:
    if raster.encoding is Encoding.RAW:
        stream.seek(raster.skip + raster.before, io.SEEK_CUR)
        return
    remaining = raster.skip + raster.before
    while remaining > 0 and (chunk := stream.read(min(remaining, _CHUNK))):
        remaining -= len(chunk)
    if remaining > 0:
        raise _make_truncated_error(raster)


def _fill(target: memoryview, stream: io.BufferedIOBase) -> int:
    """Read until the target is full or the stream ends, and return the number of bytes."""
    filled = 0
    while filled < len(target) and (count := stream.readinto(target[filled : filled + _CHUNK])):
        filled += count
    return filled


def _check_end(stream: io.BufferedIOBase, raster: Raster) -> None:
    """Read a compressed stream to its end, so that its checksum is verified."""
    if raster.encoding is Encoding.RAW:
        return
    behind = 0
    while chunk := stream.read(_CHUNK):
        behind += len(chunk)
        if raster.is_exact or behind > raster.behind + _MAX_TRAILING_BYTES:
            raise _make_excess_data_error(raster)
    if behind < raster.behind:
        raise _make_truncated_error(raster)


def _ends_in_length(raster: Raster) -> bool:
    """Return whether the data are one gzip stream whose last field matches the expected size."""
    if raster.encoding is not Encoding.GZIP:
        return False
    with open_file(raster.data) as raw:
        raw.seek(-4, io.SEEK_END)
        return int.from_bytes(raw.read(4), "little") == _count_bytes(raster) % 2**32


def _read_text_voxels(stream: io.BufferedIOBase, raster: Raster) -> npt.NDArray[Any]:
    tokens = stream.read().split()
    if len(tokens) < raster.grid.voxels:
        raise _make_truncated_error(raster)
    if len(tokens) > raster.grid.voxels:
        raise _make_excess_data_error(raster)
    try:
        return np.array(tokens, np.bytes_).astype(raster.dtype)
    except (ValueError, OverflowError) as error:
        raise make_damaged_header_error(raster.path) from error


def _format_shape(raster: Raster) -> str:
    return " x ".join(map(str, raster.grid.shape))


def _make_truncated_error(raster: Raster) -> VolumeError:
    return VolumeError(
        f"{raster.path.name} is truncated: it has less data than its {_format_shape(raster)} voxels need. "
        "Copy or convert it again."
    )


def _make_excess_data_error(raster: Raster) -> VolumeError:
    return VolumeError(
        f"{raster.path.name} is damaged: it has more data than its {_format_shape(raster)} voxels need. "
        "Copy or convert it again."
    )
