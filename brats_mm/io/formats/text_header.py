"""Parse numbers and lines of NRRD and MetaImage headers with one strict grammar."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from brats_mm.domain.volume import Grid, build_ras_affine
from brats_mm.errors import VolumeError
from brats_mm.io.formats.raster import MAX_HEADER_BYTES, find_file_beside, make_damaged_header_error, open_file
from brats_mm.io.volume_checks import check_affine

SCANNER = 1
"""NIfTI code of scanner coordinates, in which these formats give their geometry."""

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def read_text(path: Path) -> bytes:
    """Return the first 64 KiB of a file, which must contain the whole header."""
    with open_file(path) as stream:
        return stream.read(MAX_HEADER_BYTES)


def check_characters(header: bytes, path: Path) -> None:
    """Reject control characters, including a carriage return that does not end a line.

    Raises:
        VolumeError: the header contains a control character.
    """
    if _CONTROL.search(header):
        raise VolumeError(f"The header of {path.name} contains control characters. Convert the volume again.")


def make_missing_end_error(path: Path, start: bytes) -> VolumeError:
    """Return the error for a header that does not end within `start`."""
    if len(start) < MAX_HEADER_BYTES:
        return make_damaged_header_error(path)
    return VolumeError(
        f"The header of {path.name} is longer than {MAX_HEADER_BYTES // 1024} KiB. Convert the volume to .nii.gz "
        "without extra header fields."
    )


def make_bad_field_error(path: Path, name: str, value: str) -> VolumeError:
    """Return the error for a field with an unusable value."""
    return VolumeError(
        f"The header of {path.name} has {name} = {value[:60]!r}, which cannot be read. Convert the volume again."
    )


def make_duplicate_field_error(path: Path, name: str) -> VolumeError:
    """Return the error for a field that the header has twice."""
    return VolumeError(f"The header of {path.name} has {name!r} twice. Convert the volume again.")


@dataclass(frozen=True)
class Fields:
    """Fields of a header. Each method raises a VolumeError for an invalid value.

    Attributes:
        path: file of the header, for messages.
        values: text of each field, by name.
    """

    path: Path
    values: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def reject(self, name: str) -> NoReturn:
        """Raise the error for a field with an unusable value."""
        raise make_bad_field_error(self.path, name, self.values.get(name, ""))

    def integers(self, name: str) -> list[int]:
        """Return the space-separated integers of a field."""
        tokens = self.values[name].split()
        if not tokens or not all(_INTEGER.fullmatch(token) for token in tokens):
            self.reject(name)
        return [int(token) for token in tokens]

    def integer(self, name: str, default: int = 0) -> int:
        """Return the integer of a field, or the default if the header lacks the field."""
        values = self.integers(name) if name in self.values else [default]
        if len(values) != 1:
            self.reject(name)
        return values[0]

    def numbers(self, name: str) -> list[float]:
        """Return the space-separated finite numbers of a field."""
        return parse_numbers(self.values[name], name, self.path)

    def find_voxel_file(self, name: str, detached: str) -> Path:
        """Return the file with the voxels. Only a header with the suffix `detached` may refer to another file."""
        if not self.path.name.lower().endswith(detached):
            raise VolumeError(
                f"{self.path.name} stores its voxels in other files. Convert it to one file, for example .nii.gz, or "
                f"name its header {detached} and keep the voxels in the same folder."
            )
        stored = self.values[name]
        try:
            stored = "" if stored.split(" ")[0] == "LIST" else stored.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            stored = ""
        return find_file_beside(self.path, stored)


def parse_numbers(value: str, name: str, path: Path) -> list[float]:
    """Return the space-separated finite numbers in a string.

    Raises:
        VolumeError: a part is not a finite number.
    """
    words = value.split()
    if not words or not all(_NUMBER.fullmatch(word) for word in words):
        raise make_bad_field_error(path, name, value)
    return [float(word) for word in words]


def build_checked_grid(
    shape: tuple[int, int, int],
    axes: npt.ArrayLike,
    origin: Sequence[float] | npt.NDArray[np.float64],
    path: Path,
    *,
    code: int = SCANNER,
) -> Grid:
    """Return the grid of a header's geometry.

    Args:
        shape: number of voxels per axis.
        axes: (3, 3), one row per axis: the step to the next voxel in LPS millimetres.
        origin: centre of the first voxel in LPS millimetres.
        path: path for messages.
        code: NIfTI code of this geometry.

    Raises:
        VolumeError: the geometry is not that of a head scan.
    """
    affine = build_ras_affine(np.transpose(axes), origin)
    check_affine(affine, path)
    return Grid(shape, affine, sform_code=code, qform_code=code)
