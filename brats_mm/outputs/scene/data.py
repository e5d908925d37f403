"""Data files of a 3D Slicer scene: images, colour table, list of uncertain regions.

Headers contain only geometry, because the input's header may contain a patient's name.
"""

import json
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from typing import Any

import numpy as np
import numpy.typing as npt

from brats_mm.domain.display import format_ml, make_entropy_colours
from brats_mm.domain.volume import Array, Grid
from brats_mm.outputs.gzip_stream import to_fortran_bytes, write_gzip
from brats_mm.outputs.seg_nrrd import format_nrrd_geometry

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def stream_image(raw: BufferedIOBase, data: Array, grid: Grid) -> None:
    """Write an image as NRRD, as 16-bit integers if lossless, otherwise as float32."""
    limits = np.iinfo(np.int16)
    is_integral = bool(data.min() >= limits.min and data.max() <= limits.max and (np.rint(data) == data).all())
    kind, stored = ("short", data.astype("<i2")) if is_integral else ("float", data.astype("<f4", copy=False))
    _stream(raw, stored, format_nrrd_geometry(grid, kind))


def stream_entropy(raw: BufferedIOBase, entropy: Array, grid: Grid) -> None:
    """Write entropy in nats as NRRD, rounded to thousandths, which reduces the file to a third of the size."""
    _stream(
        raw, (np.rint(entropy * np.float32(1000)) / np.float32(1000)).astype("<f4"), format_nrrd_geometry(grid, "float")
    )


def _stream(raw: BufferedIOBase, stored: npt.NDArray[Any], geometry: list[str]) -> None:
    raw.write(("\n".join([*geometry, "endian: little"]) + "\n\n").encode("ascii"))
    write_gzip(raw, to_fortran_bytes(stored))


def build_colour_table() -> bytes:
    """Return the colours of entropy as a Slicer colour table."""
    colours = np.rint(make_entropy_colours()).astype(int)
    rows = [f"{index} {index} {r} {g} {b} 255" for index, (r, g, b) in enumerate(colours)]
    return "\n".join(["# Color table file", f"# {len(rows)} values", *rows, ""]).encode("ascii")


def format_area_label(area: Mapping[str, Any]) -> str:
    """Label an uncertain region of `report.json` by rank, region and volume."""
    return f"{area['rank']}: {area['region'].upper()}, {format_ml(area['volume_ml'])} mL"


def format_places(areas: Sequence[Mapping[str, Any]]) -> bytes:
    """Convert the uncertain regions of `report.json` to a Slicer Markups point list."""
    points = [
        {
            "id": str(area["rank"]),
            "label": format_area_label(area),
            "description": f"Mean entropy {area['mean_entropy_nats']:.2f} nats (maximum 0.69).",
            "position": list(area["position_mm_ras"]),
            "selected": True,
            "locked": True,
            "visibility": True,
            "positionStatus": "defined",
        }
        for area in areas
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "RAS",
        "coordinateUnits": "mm",
        "locked": True,
        "labelFormat": "%N-%d",
        "controlPoints": points,
    }
    return (json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1) + "\n").encode("utf-8")
