"""FreeSurfer's volumes (.mgz, .mgh): a binary header of 284 bytes, then voxels, most significant byte first."""

import struct
from pathlib import Path

import numpy as np

from brats_mm.domain.volume import Grid
from brats_mm.errors import VolumeError
from brats_mm.io.formats.raster import Raster, detect_encoding, make_damaged_header_error, read_start
from brats_mm.io.volume_checks import check_affine, to_spatial_shape

SUFFIXES = (".mgz", ".mgh")

_HEADER_BYTES = 284
_FIELDS = struct.Struct(">7ih15f")
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_SCANNER = 1
_DEFAULT_GEOMETRY = (1, 1, 1, *(-1, 0, 0), *(0, 0, -1), *(0, 1, 0), *(0, 0, 0))
"""Spacing, directions and centre for headers without them: a coronal slice, as in FreeSurfer."""


def parse_mgh(path: Path) -> Raster:
    """Parse the header of an .mgz or .mgh file.

    Raises:
        VolumeError: the header is invalid, or describes unusable voxels.
        OSError: the file cannot be opened.
    """
    block = read_start(path, _HEADER_BYTES)
    if len(block) < _HEADER_BYTES:
        raise make_damaged_header_error(path)
    version, *sizes, kind, _, good = _FIELDS.unpack_from(block)[:8]
    if version != 1:
        raise make_damaged_header_error(path)
    shape = to_spatial_shape(sizes, path)
    if kind not in _TYPES:
        raise VolumeError(
            f"{path.name} has the unsupported voxel type ({kind}). Convert it with mri_convert -odt float."
        )
    geometry = np.array(_FIELDS.unpack_from(block)[8:] if good else _DEFAULT_GEOMETRY, np.float64)
    affine = np.eye(4)
    affine[:3, :3] = geometry[3:12].reshape(3, 3).T * geometry[:3]
    affine[:3, 3] = geometry[12:] - affine[:3, :3] @ (np.array(shape) / 2)
    check_affine(affine, path)
    code = _SCANNER if good else 0
    grid = Grid(shape, affine, sform_code=code, qform_code=code)
    return Raster(path, path, grid, np.dtype(_TYPES[kind]), detect_encoding(path), skip=_HEADER_BYTES, is_exact=False)
