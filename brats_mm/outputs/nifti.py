"""Write label maps and value maps as NIfTI on the input's grid."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_map import Labels
from brats_mm.domain.volume import Array, Grid
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.outputs.gzip_stream import to_fortran_bytes, write_gzip

_SLAB = 4
_LABEL_INTENT = 1002


def write_labels(path: Path, labels: Labels, grid: Grid) -> None:
    """Write a label map on the input grid.

    Args:
        path: ends in .nii or .nii.gz.
        labels: uint8, `grid.shape`.
        grid: the input's grid, written with its affine, codes and matrices.

    Raises:
        OutputError: the file cannot be written.
    """
    header = build_header(grid, np.dtype("<u1"), "tumour labels")
    header["intent_code"] = _LABEL_INTENT
    _write(path, header, np.asarray(labels, np.uint8))


def write_map(path: Path, data: Array, grid: Grid, *, description: str, maximum: float) -> None:
    """Write a map of values from 0 to `maximum` on the input grid, as uint16 with a scale.

    Values are accurate to `maximum / 131070`. Values outside the range are clipped.

    Args:
        path: ends in .nii or .nii.gz.
        data: values, `grid.shape`.
        grid: the input's grid, written with its affine, codes and matrices.
        description: meaning and unit of the values, cut to 80 bytes.
        maximum: largest possible value, and upper end of the display window.

    Raises:
        OutputError: the file cannot be written.
    """
    header = build_header(grid, np.dtype("<u2"), description)
    steps = np.iinfo(np.uint16).max
    header.set_slope_inter(maximum / steps, 0.0)
    header["cal_min"], header["cal_max"] = 0.0, maximum
    stored = np.empty(grid.shape, np.uint16, order="F")
    for start in range(0, grid.shape[2], _SLAB):  # in slabs that fit into the cache
        slab = data[..., start : start + _SLAB] * np.float32(steps / maximum)
        np.clip(slab, 0, steps, out=slab)
        stored[..., start : start + _SLAB] = np.rint(slab, out=slab)
    _write(path, header, stored)


def build_header(grid: Grid, kind: np.dtype[Any], description: str) -> Any:
    """Return a NIfTI header for a grid and voxel type. The description is truncated to 80 bytes.

    Args:
        grid: grid of the voxels.
        kind: NumPy type of a voxel.
        description: meaning and unit of the values.
    """
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(kind)
    header.set_data_shape(grid.shape)
    header.set_zooms(grid.spacing_mm)
    if grid.qform is not None or grid.qform_code > 0:
        header.set_qform(grid.affine if grid.qform is None else grid.qform, grid.qform_code)
    if grid.sform is not None or grid.sform_code > 0:
        header.set_sform(grid.affine if grid.sform is None else grid.sform, grid.sform_code)
    header["qform_code"], header["sform_code"] = grid.qform_code, grid.sform_code
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode("utf-8")[:80]
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    return header


def _write(path: Path, header: Any, stored: npt.NDArray[Any]) -> None:
    """Write header, empty extension flag and voxels. Equal input gives equal bytes."""
    start = header.binaryblock + b"\0\0\0\0"
    voxels = to_fortran_bytes(stored.astype(header.get_data_dtype(), copy=False))
    with convert_output_errors(path), path.open("wb") as raw:
        if path.suffix == ".gz":
            write_gzip(raw, start, voxels)
        else:
            raw.write(start)
            raw.write(voxels)
