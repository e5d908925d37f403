"""NRRD headers (.nrrd, .nhdr), by a strict grammar: each field once, known fields only, no control characters."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.volume import Grid
from brats_mm.errors import VolumeError
from brats_mm.io.formats.raster import MAX_OFFSET, Encoding, Raster, make_damaged_header_error
from brats_mm.io.formats.text_header import (
    SCANNER,
    Fields,
    build_checked_grid,
    check_characters,
    make_bad_field_error,
    make_duplicate_field_error,
    make_missing_end_error,
    parse_numbers,
    read_text,
)
from brats_mm.io.volume_checks import to_spatial_shape

SUFFIXES = (".nrrd", ".nrd", ".nhdr")
_DETACHED = ".nhdr"

_MAGIC = re.compile(rb"NRRD000[1-6]")
_ALIASES = {
    "blocksize": "block size",
    "axismins": "axis mins",
    "axis maxes": "axis maxs",
    "axismaxs": "axis maxs",
    "centerings": "centers",
    "oldmin": "old min",
    "oldmax": "old max",
    "datafile": "data file",
    "lineskip": "line skip",
    "byteskip": "byte skip",
    "sampleunits": "sample units",
}
_FIELDS = frozenset(
    {
        *("content", "number", "type", "block size", "dimension", "space", "space dimension", "sizes", "spacings"),
        *("thicknesses", "axis mins", "axis maxs", "centers", "labels", "units", "min", "max", "old min", "old max"),
        *("data file", "endian", "encoding", "line skip", "byte skip", "sample units", "space units", "space origin"),
        *("space directions", "measurement frame", "kinds"),
    }
)
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS = {
    "raw": Encoding.RAW,
    **dict.fromkeys(("gzip", "gz"), Encoding.GZIP),
    **dict.fromkeys(("bzip2", "bz2"), Encoding.BZIP2),
    **dict.fromkeys(("text", "txt", "ascii"), Encoding.TEXT),
}
_TO_LPS = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
}
"""Axes that run against LPS, by space. Scanner space counts as LPS, as in ITK."""
_UNPLACED = ("scanner-xyz", "3d-right-handed", "3d-left-handed", "3d-r-h", "3d-l-h")
_SPATIAL_KINDS = ("domain", "space", "time", "???", "none")


def parse_nrrd(path: Path) -> Raster:
    """Parse the header of an NRRD file. Voxels may be in another file only for .nhdr, and only in the same folder.

    Raises:
        VolumeError: the header is invalid, or describes unusable voxels.
        OSError: the file cannot be opened.
    """
    start = read_text(path)
    fields, end = _parse_fields(start, path)
    for name in ("dimension", "sizes", "type", "encoding"):
        if name not in fields:
            raise make_damaged_header_error(path)
    encoding = _ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise VolumeError(
            f"{path.name} has the unsupported encoding {fields['encoding'][:20]!r}. Save it with raw or gzip encoding."
        )
    data, begin = _find_voxels(fields, start, end)
    skip = fields.integer("byte skip")
    offset: int | None = begin
    if encoding is Encoding.RAW and skip == -1:
        offset, skip = None, 0
    if skip < 0 or skip > MAX_OFFSET:
        fields.reject("byte skip")
    dtype = _parse_dtype(fields, encoding)
    return Raster(path, data, _build_grid(fields), dtype, encoding, offset=offset, skip=skip)


def _parse_fields(start: bytes, path: Path) -> tuple[Fields, int]:
    """Return the fields by lower-case name, and the end of the header."""
    if not _MAGIC.match(start):
        raise make_damaged_header_error(path)
    blank = re.search(rb"\r?\n\r?\n", start)
    detached = path.name.lower().endswith(_DETACHED)
    if blank is None and not (detached and len(start) < 2**16):
        raise make_missing_end_error(path, start)
    head, end = (start, len(start)) if blank is None else (start[: blank.start()], blank.end())
    check_characters(head, path)
    lines = head.decode("latin-1").replace("\r\n", "\n").rstrip("\r\n").split("\n")
    if not _MAGIC.fullmatch(lines[0].encode("latin-1")):
        raise make_damaged_header_error(path)
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        name = _ALIASES.get(name.lower(), name.lower())
        if name not in _FIELDS and ":=" in line:
            continue  # a key and a value, which are not needed
        if not colon or name not in _FIELDS or not value.startswith(" "):
            raise make_bad_field_error(path, "a line", line)
        if name in fields:
            raise make_duplicate_field_error(path, name)
        fields[name] = value.strip()
    return Fields(path, fields), end


def _find_voxels(fields: Fields, start: bytes, end: int) -> tuple[Path, int]:
    """Return the file with the voxels, and their offset in it."""
    path = fields.path
    if fields.integer("line skip"):
        fields.reject("line skip")
    if "data file" not in fields:
        if end >= len(start) and path.name.lower().endswith(_DETACHED):
            raise make_damaged_header_error(path)
        return path, end
    beside = fields.find_voxel_file("data file", _DETACHED)
    if start[end:].strip():
        raise make_damaged_header_error(path)
    return beside, 0


def _parse_dtype(fields: Fields, encoding: Encoding) -> np.dtype[Any]:
    code = _TYPES.get(fields["type"].lower())
    if code is None:
        raise VolumeError(
            f"{fields.path.name} has voxels of type {fields['type'][:30]!r}. "
            "Provide a volume with one grey value per voxel, as integers, float or double."
        )
    order = {"little": "<", "big": ">"}.get(fields.values.get("endian", "").lower())
    if order is None:
        if "endian" in fields or (encoding is not Encoding.TEXT and code[1] != "1"):
            fields.reject("endian")
        order = "<"
    return np.dtype(order + code)


def _build_grid(fields: Fields) -> Grid:
    path = fields.path
    sizes = fields.integers("sizes")
    if fields.integer("dimension") != len(sizes) or len(sizes) > 16:
        fields.reject("sizes")
    vectors = _parse_directions(fields, len(sizes))
    space_axes = _select_axes(fields, sizes, vectors)
    shape = to_spatial_shape([sizes[axis] for axis in space_axes], path)
    if vectors is None:
        return _build_unplaced_grid(fields, shape, space_axes, len(sizes))
    signs, code = _parse_space(fields)
    lengths = {len(vectors[axis] or ()) for axis in space_axes[:3]}
    origin = _parse_vector(fields["space origin"], path) if "space origin" in fields else [0.0] * max(lengths)
    if origin is None or lengths != {len(origin)} or len(origin) < 3:
        fields.reject("space origin")
    axes = np.array([(vectors[axis] or [])[:3] for axis in space_axes[:3]]) * signs
    return build_checked_grid(shape, axes, np.array(origin[:3]) * signs, path, code=code)


def _select_axes(fields: Fields, sizes: list[int], vectors: list[list[float] | None] | None) -> list[int]:
    """Return the spatial axes and trailing axes of length one. Rejects an axis of components."""
    kinds = [kind.lower() for kind in fields["kinds"].split()] if "kinds" in fields else ["domain"] * len(sizes)
    if len(kinds) != len(sizes):
        fields.reject("kinds")
    inner = [
        kind in _SPATIAL_KINDS and (vectors is None or vectors[axis] is not None) for axis, kind in enumerate(kinds)
    ]
    for axis, size in enumerate(sizes):
        if not inner[axis] and size != 1:
            if kinds[axis] in ("list", "time", "domain"):
                to_spatial_shape([*(n for at, n in enumerate(sizes) if at != axis), size], fields.path)
            raise VolumeError(
                f"{fields.path.name} has colour, vector or complex voxels ({kinds[axis]}). "
                "Provide a volume with one grey value per voxel."
            )
    return [axis for axis in range(len(sizes)) if inner[axis]]


def _parse_directions(fields: Fields, axes: int) -> list[list[float] | None] | None:
    """Return the step along each axis (None for a non-spatial axis), or None if the header has no directions."""
    if "space directions" not in fields:
        return None
    text = fields["space directions"]
    parts = re.findall(r"none|\([^()]*\)|\S+", text, re.IGNORECASE)
    if len(parts) != axes or "spacings" in fields:
        fields.reject("space directions")
    return [_parse_vector(part, fields.path) for part in parts]


def _parse_vector(text: str, path: Path) -> list[float] | None:
    if text.lower() == "none":
        return None
    inside = re.fullmatch(r"\(([^()]*)\)", text)
    if inside is None:
        raise make_bad_field_error(path, "space directions or space origin", text)
    values = [parse_numbers(part, "a vector", path) for part in inside[1].split(",")]
    if not 2 <= len(values) <= 4 or any(len(value) != 1 for value in values):
        raise make_bad_field_error(path, "space directions or space origin", text)
    return [value[0] for value in values]


def _parse_space(fields: Fields) -> tuple[tuple[int, int, int], int]:
    """Return the axes of the header's space that run against LPS, and the NIfTI code of the geometry."""
    if ("space" in fields) == ("space dimension" in fields):
        fields.reject("space")
    if "space dimension" in fields:
        if fields.integer("space dimension") not in (3, 4):
            fields.reject("space dimension")
        return (1, 1, 1), SCANNER
    space = fields["space"].lower().removesuffix("-time")
    if space in ("rast", "last", "lpst"):
        space = space[:3]
    if space in _UNPLACED:
        return (1, 1, 1), 0
    if space not in _TO_LPS:
        fields.reject("space")
    return _TO_LPS[space], SCANNER


def _build_unplaced_grid(fields: Fields, shape: tuple[int, int, int], space_axes: list[int], axes: int) -> Grid:
    """Return a grid from spacings alone. The position is unknown."""

    def read_field(name: str) -> list[float]:
        parts = fields[name].split()
        if len(parts) != axes:
            fields.reject(name)
        return parse_numbers(" ".join(parts[axis] for axis in space_axes[:3]), name, fields.path)

    spacings = np.array(read_field("spacings") if "spacings" in fields else [1.0, 1.0, 1.0])
    origin = np.zeros(3)
    if "axis mins" in fields:
        parts = fields.values.get("centers", "").split()
        cells = [len(parts) != axes or parts[axis].lower() != "node" for axis in space_axes[:3]]
        origin = np.array(read_field("axis mins")) + np.where(cells, spacings / 2, 0.0)
    return build_checked_grid(shape, np.diag(spacings), origin, fields.path, code=0)
