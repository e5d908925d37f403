"""MetaImage headers (.mha, .mhd), by a strict grammar: `Key = Value`, each key once, no control characters."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.volume import Grid
from brats_mm.errors import VolumeError
from brats_mm.io.formats.raster import MAX_HEADER_BYTES, MAX_OFFSET, Encoding, Raster, make_damaged_header_error
from brats_mm.io.formats.text_header import (
    Fields,
    build_checked_grid,
    check_characters,
    make_bad_field_error,
    make_duplicate_field_error,
    make_missing_end_error,
    read_text,
)
from brats_mm.io.volume_checks import to_spatial_shape

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
"""Element types as in ITK, with four bytes for a LONG."""


def parse_metaimage(path: Path) -> Raster:
    """Parse the header of a MetaImage. Voxels may be in another file only for .mhd, and only in the same folder.

    Raises:
        VolumeError: the header is invalid, or describes unusable voxels.
        OSError: the file cannot be opened.
    """
    fields, end = _parse_fields(read_text(path), path)
    if not {"NDims", "DimSize", "ElementType", "ElementDataFile"} <= set(fields.values):
        raise make_damaged_header_error(path)
    if fields.values.get("ObjectType", "Image") != "Image":
        fields.reject("ObjectType")
    grid = _build_grid(fields)
    dtype = _parse_dtype(fields)
    data = path if fields["ElementDataFile"] == "LOCAL" else fields.find_voxel_file("ElementDataFile", _DETACHED)
    header = fields.integer("HeaderSize")
    if header < -1 or header > MAX_OFFSET or (header and data == path):
        fields.reject("HeaderSize")
    encoding, stored = _parse_encoding(fields)
    if header == -1 and encoding is not Encoding.RAW:
        fields.reject("HeaderSize")
    offset = end if data == path else (None if header == -1 else header)
    return Raster(path, data, grid, dtype, encoding, offset=offset, stored_bytes=stored)


def _parse_fields(start: bytes, path: Path) -> tuple[Fields, int]:
    """Return the fields as spelled in the header, and the end of the header, which is after `ElementDataFile`."""
    fields: dict[str, str] = {}
    keys: set[str] = set()
    end = 0
    while "ElementDataFile" not in fields:
        line, newline, _ = start[end:].partition(b"\n")
        if not newline and not _may_end_here(line, start, path):
            raise make_missing_end_error(path, start) if keys else make_damaged_header_error(path)
        end += len(line) + len(newline)
        text = line.decode("latin-1")
        match = _LINE.fullmatch(text.removesuffix("\r"))
        if match is None:
            raise make_bad_field_error(path, "a line", text) if keys else make_damaged_header_error(path)
        check_characters(line + newline, path)
        key, value = match[1], match[2].strip()
        if key in keys:
            raise make_duplicate_field_error(path, key)
        keys.add(key)
        if _EXACT.get(key.lower(), key) != key:
            raise make_bad_field_error(path, "a line", text)
        key = _ALIASES.get(key, key)
        if key in fields:
            raise make_bad_field_error(path, key, value)
        if key in _KEYS:
            fields[key] = value
    return Fields(path, fields), end


def _may_end_here(line: bytes, start: bytes, path: Path) -> bool:
    """Return whether a header may end here. The last line of an .mhd may lack its line end."""
    return (
        path.name.lower().endswith(_DETACHED) and len(start) < MAX_HEADER_BYTES and line.startswith(b"ElementDataFile")
    )


def _parse_flag(fields: Fields, name: str, *, default: bool) -> bool:
    if name not in fields:
        return default
    flags = {"true": True, "1": True, "false": False, "0": False}
    value = fields[name].lower()
    if value not in flags:
        fields.reject(name)
    return flags[value]


def _parse_encoding(fields: Fields) -> tuple[Encoding, int | None]:
    compressed = _parse_flag(fields, "CompressedData", default=False)
    if not _parse_flag(fields, "BinaryData", default=True):
        if compressed:
            fields.reject("CompressedData")
        return Encoding.TEXT, None
    if not compressed:
        return Encoding.RAW, None
    size = fields.integer("CompressedDataSize")
    if size < 0:
        fields.reject("CompressedDataSize")
    return Encoding.ZLIB, size or None


def _parse_dtype(fields: Fields) -> np.dtype[Any]:
    kind = fields["ElementType"]
    code = _TYPES.get(kind.removeprefix("MET_")) if kind.startswith("MET_") else None
    if code is None or fields.integer("ElementNumberOfChannels", 1) != 1:
        if code is None and not kind.endswith("_ARRAY"):
            fields.reject("ElementType")
        raise VolumeError(
            f"{fields.path.name} has colour, vector or complex voxels ({kind}). "
            "Provide a volume with one grey value per voxel."
        )
    big = _parse_flag(fields, "BinaryDataByteOrderMSB", default=False)
    return np.dtype((">" if big else "<") + code)


def _build_grid(fields: Fields) -> Grid:
    axes = fields.integer("NDims")
    sizes = fields.integers("DimSize")
    if axes != len(sizes) or len(sizes) > 16:
        fields.reject("DimSize")
    shape = to_spatial_shape(sizes, fields.path)

    def read_field(name: str, default: list[float]) -> list[float]:
        values = fields.numbers(name) if name in fields else default
        if len(values) != len(default):
            fields.reject(name)
        return values

    ones = [1.0] * axes
    spacing = read_field("ElementSpacing", read_field("ElementSize", ones))
    turn = np.array(read_field("TransformMatrix", np.eye(axes).ravel().tolist())).reshape(axes, axes)
    origin = read_field("Offset", [0.0] * axes)
    if min(spacing) <= 0:
        raise make_bad_field_error(fields.path, "ElementSpacing", " ".join(f"{value:g}" for value in spacing))
    return build_checked_grid(shape, turn[:3, :3] * np.array(spacing[:3])[:, None], origin[:3], fields.path)
