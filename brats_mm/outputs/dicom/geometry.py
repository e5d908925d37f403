"""Where frames lie, for highdicom: nothing where they are the source's own frames, else each slice's own header."""

from typing import Any

import numpy as np

from brats_mm.outputs.dicom.source import SourceSeries


def geometry_of(source: SourceSeries) -> dict[str, Any]:
    """Geometry arguments of a constructor.

    Where a file holds frames of another volume besides, as those of a second echo, the places of our slices are said
    one by one.
    """
    if source.is_whole:
        return {}
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    first = source.slices[0]
    assert first.along is not None and first.down is not None and first.spacing_mm is not None  # noqa: PT018
    step_mm = float(np.linalg.norm(source.grid.affine[:3, 2]))
    return {
        "plane_positions": [
            PlanePositionSequence("PATIENT", one.position_mm) for one in source.slices if one.position_mm is not None
        ],
        "plane_orientation": PlaneOrientationSequence("PATIENT", (*first.along, *first.down)),
        "pixel_measures": PixelMeasuresSequence(first.spacing_mm, first.thickness_mm or step_mm, step_mm),
    }
