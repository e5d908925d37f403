"""The files inside a scene for 3D Slicer: images, the map's colours, the list of uncertain places.

Headers hold geometry and nothing of the input's own header, which can carry a patient's name.
"""

import json
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

from brats_mm.domain.volume import Array, Grid
from brats_mm.outputs.gzip_stream import first_axis_fastest, write_gzip
from brats_mm.outputs.seg_nrrd import nrrd_geometry

COLOURS = 256
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def stream_image(raw: BufferedIOBase, data: Array, grid: Grid) -> None:
    """Write an image as NRRD, as 16-bit integers where its values are such, else as they are."""
    limits = np.iinfo(np.int16)
    whole = bool(data.min() >= limits.min and data.max() <= limits.max and (np.rint(data) == data).all())
    kind, stored = ("short", data.astype("<i2")) if whole else ("float", data.astype("<f4", copy=False))
    _stream(raw, stored, nrrd_geometry(grid, kind))


def stream_entropy(raw: BufferedIOBase, entropy: Array, grid: Grid) -> None:
    """Write entropy in nats as NRRD, to the nearest thousandth: a viewer shows no more, and the file is a third."""
    _stream(raw, (np.rint(entropy * np.float32(1000)) / np.float32(1000)).astype("<f4"), nrrd_geometry(grid, "float"))


def _stream(raw: BufferedIOBase, stored: npt.NDArray[Any], geometry: list[str]) -> None:
    raw.write(("\n".join([*geometry, "endian: little"]) + "\n\n").encode("ascii"))
    write_gzip(raw, first_axis_fastest(stored))


def colour_table(name: str) -> bytes:
    """A colour map of matplotlib as a colour table file of Slicer, in equal steps."""
    colours = np.rint(matplotlib.colormaps[name](np.arange(COLOURS)) * 255).astype(int)
    rows = [f"{index} {index} {r} {g} {b} 255" for index, (r, g, b, _) in enumerate(colours)]
    return "\n".join(["# Color table file", f"# {COLOURS} values", *rows, ""]).encode("ascii")


def spot_label(spot: Mapping[str, Any]) -> str:
    """A spot of `report.json` in a few words: rank, region, size."""
    return f"{spot['rank']}: {spot['region'].upper()}, {spot['volume_ml']:.1f} mL"


def places(spots: Sequence[Mapping[str, Any]]) -> bytes:
    """The uncertain spots of `report.json` as a point list of Slicer's Markups."""
    points = [
        {
            "id": str(spot["rank"]),
            "label": spot_label(spot),
            "description": f"Mean entropy {spot['mean_entropy_nats']:.2f} nats, of at most 0.69.",
            "position": list(spot["position_mm_ras"]),
            "selected": True,
            "locked": True,
            "visibility": True,
            "positionStatus": "defined",
        }
        for spot in spots
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
