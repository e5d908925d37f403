"""A look at MetaImage and NRRD headers before ITK reads the file: ITK prints what it dislikes past Python."""

import math
from pathlib import Path

from brats_mm.errors import VolumeError

_LONGEST_HEADER = 2**16
_ELEMENT_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_header(path: Path) -> None:
    """Raise VolumeError unless the file begins as its suffix says and keeps its voxels in itself or right beside.

    A header may name any other file as its data; only a plain name in the same folder is followed.
    """
    start = _start(path)
    if path.suffix.lower() in {".mha", ".mhd"}:
        fields, _ = _metaimage_fields(start)
        if not {"NDims", "DimSize", "ElementType", "ElementDataFile"} <= set(fields):
            raise damaged(path)
        data = fields["ElementDataFile"]
        if data != "LOCAL" and (Path(data).name != data or data.startswith("LIST") or "%" in data):
            raise _elsewhere(path)
        return
    if not start.startswith(b"NRRD000"):
        raise damaged(path)
    head = start.split(b"\n\n")[0].lower()
    if b"\ndata file:" in head or b"\ndatafile:" in head:
        raise _elsewhere(path)


def check_metaimage_size(path: Path) -> None:
    """Raise VolumeError if a MetaImage has fewer bytes than its header says."""
    fields, offset = _metaimage_fields(_start(path))
    data = path
    if fields["ElementDataFile"] != "LOCAL":
        data, offset = path.parent / fields["ElementDataFile"], 0
    try:
        needed = _metaimage_bytes(fields)
        on_disk = data.stat().st_size - offset
    except (ValueError, KeyError, OSError) as error:
        raise damaged(path) from error
    if on_disk < needed:
        raise damaged(path)


def _metaimage_bytes(fields: dict[str, str]) -> int:
    if fields.get("CompressedData", "False").lower() == "true":
        return int(fields.get("CompressedDataSize", "0"))
    element = fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")
    voxels = math.prod(int(size) for size in fields["DimSize"].split())
    return voxels * _ELEMENT_BYTES[element.removeprefix("U")] * int(fields.get("ElementNumberOfChannels", "1"))


def _metaimage_fields(start: bytes) -> tuple[dict[str, str], int]:
    """The `key = value` lines up to the data, and where the data begin."""
    fields: dict[str, str] = {}
    offset = 0
    for line in start.splitlines(keepends=True):
        key, equals, value = line.decode("latin-1").partition("=")
        offset += len(line)
        if not equals:
            break
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return fields, offset


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_LONGEST_HEADER)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}. Check the file and its permissions."
        raise VolumeError(message) from error


def damaged(path: Path) -> VolumeError:
    """The error for a file that its reader cannot make sense of."""
    return VolumeError(
        f"{path.name} cannot be read: it is damaged, cut off or not a {path.suffix} file. Copy or convert it again."
    )


def _elsewhere(path: Path) -> VolumeError:
    return VolumeError(f"{path.name} keeps its voxels in other files. Convert it to one file, for example .nii.gz.")
