"""Voxels as gzip: many times as fast as zlib at the same size, and without the time of day in the header."""

from io import BufferedIOBase
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

LEVEL = 2
"""Of ISA-L's 0 to 3: as quick as 1 on entropy maps, and smaller than zlib's 3."""

_GZIP_WINDOW = 31
"""zlib's way of asking for a gzip header (16) with the largest window (15)."""


def first_axis_fastest(voxels: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array in the order of NIfTI and NRRD files; not copied where they lie so already."""
    return np.ascontiguousarray(voxels.T).data.cast("B")


def write_gzip(raw: BufferedIOBase, *parts: bytes | memoryview) -> None:
    """Write parts as one gzip member. The same parts give the same bytes.

    Compression runs outside Python's lock, so that several files can be written at once.
    """
    stream = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    for part in parts:
        raw.write(stream.compress(part))
    raw.write(stream.flush())
