"""Read DICOM attributes as plain Python values, even if absent, empty, multiple or malformed."""

import math
from typing import Any

from brats_mm.io.dicom.slices import Vector


def read_text(dataset: Any, keyword: str) -> str:
    """Return an attribute as text, with values joined by a backslash. Empty if absent."""
    value = _read_value(dataset, keyword)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if _is_several(value) else str(value).strip()


def read_words(dataset: Any, keyword: str) -> tuple[str, ...]:
    """Return the non-empty values of an attribute in upper case."""
    return tuple(part.strip().upper() for part in read_text(dataset, keyword).split("\\") if part.strip())


def read_number(dataset: Any, keyword: str) -> float | None:
    """Return a number, or None if it is absent, empty or not finite."""
    values = read_numbers(dataset, keyword)
    return values[0] if values else None


def read_numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    """Return the numbers of an attribute, or an empty tuple if any of them is not finite."""
    value = _read_value(dataset, keyword)
    if value is None:
        return ()
    try:
        values = tuple(float(part) for part in (value if _is_several(value) else (value,)))
    except (TypeError, ValueError):
        return ()
    return values if all(map(math.isfinite, values)) else ()


def read_integer(dataset: Any, keyword: str) -> int | None:
    """Return an integer, or None if it is absent or invalid."""
    value = read_number(dataset, keyword)
    return None if value is None else int(value)


def read_placement(position: Any, orientation: Any, measures: Any) -> dict[str, Any]:
    """Return the attributes of a `Slice` about its position, from the datasets that hold them."""
    corner = read_numbers(position, "ImagePositionPatient")
    along, down = _to_directions(read_numbers(orientation, "ImageOrientationPatient"))
    spacing = read_numbers(measures, "PixelSpacing")
    return {
        "position_mm": corner if len(corner) == 3 else None,
        "along": along,
        "down": down,
        "spacing_mm": spacing if len(spacing) == 2 and min(spacing) > 0 else None,
        "thickness_mm": read_number(measures, "SliceThickness"),
    }


def _to_directions(directions: tuple[float, ...]) -> tuple[Vector | None, Vector | None]:
    """Return Image Orientation (Patient) as two directions, or None if they are not orthogonal unit vectors."""
    if len(directions) != 6:
        return None, None
    along, down = (directions[0], directions[1], directions[2]), (directions[3], directions[4], directions[5])
    lengths = [math.hypot(*direction) for direction in (along, down)]
    across = sum(a * b for a, b in zip(along, down, strict=True))
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(across) > 0.02:
        return None, None
    return along, down


def _read_value(dataset: Any, keyword: str) -> Any:
    value = dataset.get(keyword)
    return None if value is None or value == "" else value


def _is_several(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__iter__") and not hasattr(value, "components")
