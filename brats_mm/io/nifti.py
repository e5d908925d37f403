"""Read volumes: NIfTI, and by its suffix or content NRRD, MetaImage or a DICOM series."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip
from isal.igzip_lib import IsalError
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import VolumeError
from brats_mm.io.dicom.one_series import read_series_folder
from brats_mm.io.dicom.scan import holds_dicom
from brats_mm.io.itk_image import READERS, read_itk
from brats_mm.io.volume_checks import check_affine, check_spacing, check_voxels, spatial_shape

NIFTI_SUFFIXES = (".nii.gz", ".nii")
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *READERS)

AGREEMENT_MM = 0.5
"""How far apart the two matrices of a NIfTI header may place a corner before a reader should know."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_LARGEST_RATIO = 1100
"""Deflate cannot shrink more than 1032 times: a shorter file cannot hold the voxels that its header speaks of."""
_CHUNK = 1 << 20
_LARGEST_OFFSET = 2**26
_HEADERS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""By the header's first field, its own size."""


def image_suffix(name: str) -> str | None:
    """The suffix of a file that can be read (`.nii.gz`, `.mha`, ...), lower case; None for other files."""
    return next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), None)


def image_stem(name: str) -> str:
    """A file's name without the suffix of an image."""
    return name[: -len(image_suffix(name) or "")] if image_suffix(name) else name


def read_volume(path: Path) -> Volume:
    """Read a volume: .nii, .nii.gz, .mha, .mhd or .nrrd, or a folder that holds one DICOM series.

    The header is judged before memory is taken for voxels. Where a NIfTI header has both matrices, the sform counts,
    as in nibabel; `header_warnings` says when they disagree.

    Raises:
        VolumeError: the file is missing, damaged or of another kind, or its voxels or geometry cannot be used.
    """
    suffix = image_suffix(path.name)
    with _damage_told(path):
        folder, there = path.is_dir(), path.exists()
    if folder and holds_dicom(path):
        return read_series_folder(path)
    if folder or not there:
        what = "is a folder. Give one volume file for the sequence." if folder else "does not exist. Check the name."
        message = f"{path} {what}"
        raise VolumeError(message)
    if suffix is None:
        message = (
            f"{path.name} is not a volume file that can be read. Convert it to one of {', '.join(IMAGE_SUFFIXES)}."
        )
        raise VolumeError(message)
    return read_itk(path) if suffix in READERS else _read_nifti(path)


def read_grid(path: Path) -> Grid:
    """The grid of a volume, of NIfTI by its header alone.

    Raises:
        VolumeError: as `read_volume`, but for faults of voxels.
    """
    if image_suffix(path.name) not in NIFTI_SUFFIXES or not path.is_file():
        return read_volume(path).grid
    with _damage_told(path), np.errstate(all="ignore"), _opened(path) as stream:
        return _checked_header(stream, path)[1]


def volumes_in(path: Path) -> int | None:
    """How many volumes a NIfTI file says it holds, by its header alone; None if it cannot be told."""
    try:
        with _damage_told(path), _opened(path) as stream:
            shape = _read_header(stream, path).get_data_shape()
    except VolumeError:
        return None
    return int(np.prod(shape[3:])) if len(shape) > 3 else 1


def header_warnings(grid: Grid) -> tuple[str, ...]:
    """What a reader should know about a NIfTI header's geometry, without the file's name."""
    if grid.sform_code <= 0 and grid.qform_code <= 0:
        return (
            "the header does not say where the volume lies (sform and qform codes are 0); left and right are a guess",
        )
    if grid.sform_code <= 0 or grid.qform_code <= 0 or grid.sform is None or grid.qform is None:
        return ()
    apart_mm = Grid(grid.shape, grid.sform).distance_mm(Grid(grid.shape, grid.qform))
    if apart_mm <= AGREEMENT_MM:
        return ()
    return (f"the sform and the qform of the header lie up to {apart_mm:.1f} mm apart; the sform is used",)


def check_nifti_header(path: Path) -> None:
    """Judge a NIfTI file by its header and its length, without taking memory for its voxels.

    A gzip file that ends in the length that the header needs is believed, and its voxels are not unpacked: what was cut
    off does not end so, and whoever reads the voxels compares their checksum. Any other is unpacked and counted.

    Raises:
        VolumeError: the header is damaged or cannot be used, or the file has fewer data than it speaks of.
    """
    with _damage_told(path), np.errstate(all="ignore"), _opened(path) as stream:
        header, grid = _checked_header(stream, path)
        start, size = _extent(header, grid, path)
        if _ends_in_length(path, start + size):
            return
        left = start + size - stream.tell()
        while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
            left -= len(chunk)
        if left > 0:
            raise _cut_off(grid, path)


def _ends_in_length(path: Path, length: int) -> bool:
    """Whether the file is gzip whose last field says that this is how much it unpacks to."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(-4, io.SEEK_END)
        return compressed and int.from_bytes(raw.read(4), "little") == length % 2**32


def _read_nifti(path: Path) -> Volume:
    with _damage_told(path), np.errstate(all="ignore"), _opened(path) as stream:
        header, grid = _checked_header(stream, path)
        data = _read_voxels(stream, header, grid, path)
    check_voxels(data, path)
    return Volume(data, grid)


def _checked_header(stream: io.BufferedIOBase, path: Path) -> tuple[Any, Grid]:
    header = _read_header(stream, path)
    shape = spatial_shape(header.get_data_shape(), path)
    check_spacing(header["pixdim"][1:4].tolist(), path)
    grid = _grid(header, shape)
    check_affine(grid.affine, path)
    return header, grid


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file's uncompressed bytes; the content, not the name, says whether it is compressed."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if not compressed:
            yield raw
            return
        with igzip.IGzipFile(fileobj=raw) as stream:  # a GzipFile, several times as fast
            yield stream


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with a file that cannot be read."""
    try:
        yield
    except (EOFError, zlib.error, IsalError, gzip.BadGzipFile) as error:  # type: ignore[misc]  # (its stub names no base)
        message = (
            f"{path.name} is damaged or cut off: its compressed data end early or are wrong. Copy or convert it again."
        )
        raise VolumeError(message) from error
    except (HeaderDataError, ValueError, OverflowError, KeyError) as error:
        message = f"The NIfTI header of {path.name} is damaged ({error}). Copy or convert it again."
        raise VolumeError(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}. Check the file and its permissions."
        raise VolumeError(message) from error


def _read_header(stream: io.BufferedIOBase, path: Path) -> Any:
    """A NIfTI-1 or NIfTI-2 header, unchecked by nibabel (which would log), with harmless oddities put right."""
    first = stream.read(4)
    kind = _HEADERS.get(int.from_bytes(first, "little")) or _HEADERS.get(int.from_bytes(first, "big"))
    block = first + stream.read(kind.sizeof_hdr - 4) if kind is not None else b""
    if kind is None or len(block) < kind.sizeof_hdr or not _is_single_file(kind(block, check=False)):
        message = f"{path.name} is not a NIfTI volume, whatever its name says. Give an MR volume as .nii or .nii.gz."
        raise VolumeError(message)
    header = kind(block, check=False)
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1  # the standard reads any other value so
    for code in ("sform_code", "qform_code"):
        if not 0 <= int(header[code]) <= 5:
            header[code] = 0
    return header


def _is_single_file(header: Any) -> bool:
    return bytes(header["magic"].item()[:3]) in (b"n+1", b"n+2")


def _grid(header: Any, shape: tuple[int, int, int]) -> Grid:
    sform, qform = header.get_sform(), _qform(header)
    return Grid(
        shape,
        np.asarray(header.get_best_affine(), np.float64),
        sform_code=int(header["sform_code"]),
        qform_code=int(header["qform_code"]),
        sform=np.asarray(sform, np.float64) if np.isfinite(sform).all() else None,
        qform=qform,
    )


def _qform(header: Any) -> npt.NDArray[np.float64] | None:
    """The header's qform; None where it says nothing that could be written back."""
    try:
        qform = np.asarray(header.get_qform(), np.float64)
    except (HeaderDataError, ValueError):
        if int(header["qform_code"]) > 0:
            raise
        return None
    return qform if np.isfinite(qform).all() else None


def _extent(header: Any, grid: Grid, path: Path) -> tuple[int, int]:
    """Where the voxels begin, and how many bytes they are; both possible for a file of that length."""
    kind = header.get_data_dtype()
    if kind.kind not in "iuf":
        message = f"{path.name} has colour or complex voxels. Give a volume with one grey value a voxel."
        raise VolumeError(message)
    offset, size = int(header.get_data_offset()), grid.voxels * kind.itemsize
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
    at_most = path.stat().st_size * (_GZIP_LARGEST_RATIO if compressed else 1)
    if not (header.sizeof_hdr <= offset <= _LARGEST_OFFSET and offset + size <= at_most):
        raise _cut_off(grid, path)
    return offset, size


def _read_voxels(stream: io.BufferedIOBase, header: Any, grid: Grid, path: Path) -> Array:
    offset, size = _extent(header, grid, path)
    stream.seek(offset)
    raw = np.empty(size, np.uint8)
    if _fill(raw.data, stream) < size:
        raise _cut_off(grid, path)
    stream.read(1)  # at the end of a gzip file, this compares the checksum
    slope, inter = header.get_slope_inter()
    stored = raw.view(header.get_data_dtype()).reshape(grid.shape, order="F")
    scaled = apply_read_scaling(stored, 1.0 if slope is None else slope, 0.0 if inter is None else inter)
    return np.asarray(scaled).astype(np.float32, copy=False)


def _fill(target: memoryview, stream: io.BufferedIOBase) -> int:
    """Read until the target is full or the stream ends; how many bytes there were."""
    done = 0
    while done < len(target) and (count := stream.readinto(target[done : done + _CHUNK])):
        done += count
    return done


def _cut_off(grid: Grid, path: Path) -> VolumeError:
    shown = " x ".join(map(str, grid.shape))
    return VolumeError(
        f"{path.name} is cut off: it has fewer data than its {shown} voxels need. Copy or convert it again."
    )
