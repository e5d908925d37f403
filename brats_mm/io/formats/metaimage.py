"""MetaImage headers (.mha, .mhd), by a strict grammar: `Key = Value`, each key once, no control characters."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.volume import Grid
from brats_mm.errors import VolumeError
from brats_mm.io.formats.raster import LARGEST_OFFSET, LONGEST_HEADER, Encoding, Raster, damaged, file_beside
from brats_mm.io.formats.text_header import (
    bad_field,
    check_characters,
    checked_grid,
    integers,
    numbers,
    read_text,
    without_end,
)
from brats_mm.io.volume_checks import spatial_shape

SUFFIXES = (".mha", ".mhd")
_DETACHED = ".mhd"

_LINE = re.compile(r"([^\s=:][^=:\t]*?) *= ?(.*)")
_ALIASES = {
    **dict.fromkeys(("Position", "Origin"), "Offset"),
    **dict.fromkeys(("Rotation", "Orientation"), "TransformMatrix"),
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
_KEYS = frozenset(
    {
        *("ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "CompressedData", "CompressedDataSize"),
        *("TransformMatrix", "Offset", "ElementSpacing", "ElementSize", "DimSize", "ElementType", "HeaderSize"),
        *("ElementNumberOfChannels", "ElementDataFile"),
    }
)
_EXACT = {key.lower(): key for key in (*_KEYS, *_ALIASES)}
_TYPES = {
    "CHAR": "i1",
    "UCHAR": "u1",
    "SHORT": "i2",
    "USHORT": "u2",
    "INT": "i4",
    "UINT": "u4",
    "LONG": "i4",
    "ULONG": "u4",
    "LONG_LONG": "i8",
    "ULONG_LONG": "u8",
    "FLOAT": "f4",
    "DOUBLE": "f8",
}
"""Element types as ITK reads them, with four bytes for a LONG."""


def parse_metaimage(path: Path) -> Raster:
    """Parse the header of a MetaImage. Voxels may be in another file only for .mhd, and only beside it.

    Raises:
        VolumeError: the header is invalid, or describes unusable voxels.
        OSError: the file cannot be opened.
    """
    fields, end = _fields(read_text(path), path)
    if not {"NDims", "DimSize", "ElementType", "ElementDataFile"} <= set(fields):
        raise damaged(path)
    if fields.get("ObjectType", "Image") != "Image":
        raise bad_field(path, "ObjectType", fields["ObjectType"])
    grid = _grid(fields, path)
    dtype = _dtype(fields, path)
    data = _place(fields, path)
    header = _one_integer(fields, "HeaderSize", path, 0)
    if header < -1 or header > LARGEST_OFFSET or (header and data == path):
        raise bad_field(path, "HeaderSize", fields["HeaderSize"])
    encoding, stored = _encoding(fields, path)
    if header == -1 and encoding is not Encoding.RAW:
        raise bad_field(path, "HeaderSize", fields["HeaderSize"])
    offset = end if data == path else (None if header == -1 else header)
    return Raster(path, data, grid, dtype, encoding, offset=offset, stored_bytes=stored)


def _fields(start: bytes, path: Path) -> tuple[dict[str, str], int]:
    """Return the fields in their first spelling, and the end of the header, which is after `ElementDataFile`."""
    fields: dict[str, str] = {}
    seen: set[str] = set()
    end = 0
    while "ElementDataFile" not in fields:
        line, newline, _ = start[end:].partition(b"\n")
        if not newline and not _may_end_here(line, start, path):
            raise without_end(path, start) if len(start) == LONGEST_HEADER and seen else damaged(path)
        end += len(line) + len(newline)
        match = _LINE.fullmatch(line.decode("latin-1").removesuffix("\r"))
        if match is None:
            raise damaged(path) if not seen else bad_field(path, "a line", line.decode("latin-1"))
        check_characters(line + newline, path)
        key, value = match[1], match[2].strip()
        if key in seen:
            message = f"The header of {path.name} has {key!r} twice. Convert the volume again."
            raise VolumeError(message)
        seen.add(key)
        if _EXACT.get(key.lower(), key) != key:
            raise bad_field(path, "a line", line.decode("latin-1"))
        key = _ALIASES.get(key, key)
        if key in fields:
            raise bad_field(path, key, value)
        if key in _KEYS:
            fields[key] = value
    return fields, end


def _may_end_here(line: bytes, start: bytes, path: Path) -> bool:
    """The last line of an .mhd may lack its line end."""
    return path.name.lower().endswith(_DETACHED) and len(start) < LONGEST_HEADER and line.startswith(b"ElementDataFile")


def _place(fields: dict[str, str], path: Path) -> Path:
    name = fields["ElementDataFile"]
    if name == "LOCAL":
        return path
    if not path.name.lower().endswith(_DETACHED):
        message = (
            f"{path.name} keeps its voxels in other files. Convert it to one file, for example .nii.gz, or name its "
            "header .mhd with the voxels beside it."
        )
        raise VolumeError(message)
    if name.split(" ")[0] == "LIST":
        name = ""
    try:
        name = name.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    return file_beside(path, name)


def _one_integer(fields: dict[str, str], name: str, path: Path, default: int) -> int:
    values = integers(fields.get(name, str(default)), name, path)
    if len(values) != 1:
        raise bad_field(path, name, fields[name])
    return values[0]


def _flag(fields: dict[str, str], name: str, path: Path, *, default: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise bad_field(path, name, value)
    return known[value.lower()]


def _encoding(fields: dict[str, str], path: Path) -> tuple[Encoding, int | None]:
    compressed = _flag(fields, "CompressedData", path, default=False)
    if not _flag(fields, "BinaryData", path, default=True):
        if compressed:
            raise bad_field(path, "CompressedData", fields["CompressedData"])
        return Encoding.TEXT, None
    if not compressed:
        return Encoding.RAW, None
    size = _one_integer(fields, "CompressedDataSize", path, 0)
    if size < 0:
        raise bad_field(path, "CompressedDataSize", fields["CompressedDataSize"])
    return Encoding.ZLIB, size or None


def _dtype(fields: dict[str, str], path: Path) -> np.dtype[Any]:
    kind = fields["ElementType"]
    code = _TYPES.get(kind.removeprefix("MET_")) if kind.startswith("MET_") else None
    if code is None or _one_integer(fields, "ElementNumberOfChannels", path, 1) != 1:
        if code is None and not kind.endswith("_ARRAY"):
            raise bad_field(path, "ElementType", kind)
        message = (
            f"{path.name} has colour, vector or complex voxels ({kind}). Give a volume with one grey value a voxel."
        )
        raise VolumeError(message)
    big = _flag(fields, "BinaryDataByteOrderMSB", path, default=False)
    return np.dtype((">" if big else "<") + code)


def _grid(fields: dict[str, str], path: Path) -> Grid:
    axes = _one_integer(fields, "NDims", path, 0)
    sizes = integers(fields["DimSize"], "DimSize", path)
    if axes != len(sizes) or len(sizes) > 16:
        raise bad_field(path, "DimSize", fields["DimSize"])
    shape = spatial_shape(sizes, path)

    def of(name: str, default: list[float]) -> list[float]:
        values = numbers(fields[name], name, path) if name in fields else default
        if len(values) != len(default):
            raise bad_field(path, name, fields[name])
        return values

    ones = [1.0] * axes
    spacing = of("ElementSpacing", of("ElementSize", ones))
    turn = np.array(of("TransformMatrix", np.eye(axes).ravel().tolist())).reshape(axes, axes)
    origin = of("Offset", [0.0] * axes)
    if min(spacing) <= 0:
        raise bad_field(path, "ElementSpacing", " ".join(f"{value:g}" for value in spacing))
    return checked_grid(shape, turn[:3, :3] * np.array(spacing[:3])[:, None], origin[:3], path)
