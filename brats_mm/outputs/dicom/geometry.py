"""Frame geometry for highdicom.

It is omitted if the frames equal those of the source, and otherwise taken from the header of each slice.
"""

from typing import Any

import numpy as np

from brats_mm.outputs.dicom.source import SourceSeries


def geometry_of(source: SourceSeries) -> dict[str, Any]:
    """Return geometry arguments of a constructor.

    If a file also contains frames of another volume, such as a second echo, the position of each slice is given
    explicitly.
    """
    if source.is_whole:
        return {}
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    first = source.slices[0]
    assert first.along is not None and first.down is not None and first.spacing_mm is not None  # noqa: PT018
    step_mm = float(np.linalg.norm(source.grid.affine[:3, 2]))
    return {
        "plane_positions": [
            PlanePositionSequence("PATIENT", item.position_mm) for item in source.slices if item.position_mm is not None
        ],
        "plane_orientation": PlaneOrientationSequence("PATIENT", (*first.along, *first.down)),
        "pixel_measures": PixelMeasuresSequence(first.spacing_mm, first.thickness_mm or step_mm, step_mm),
    }
