"""Decode the voxels of DICOM files with GDCM through ITK: uncompressed, JPEG, JPEG-LS, JPEG 2000, RLE."""

import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from brats_mm.domain.volume import Array, Volume
from brats_mm.errors import VolumeError, extract_first_line
from brats_mm.io.dicom.layout import Layout
from brats_mm.io.dicom.slices import Slice, Stored
from brats_mm.io.volume_checks import check_affine, check_voxels, to_spatial_shape

_ONE_AT_A_TIME = threading.Lock()
"""Lock for the first use of ITK. It loads its modules then, which fails in two threads at once."""


def read_layout(layout: Layout, name: str) -> Volume:
    """Read the voxels of a volume. Missing slices are interpolated.

    Raises:
        VolumeError: the slices form no volume, or their voxels cannot be decoded or used.
    """
    if layout.grid is None or layout.fault:
        raise VolumeError(f"{name} cannot be used: {layout.fault}. Send the complete series again, with its geometry.")
    label = Path(name.replace("/", "_"))
    shape = to_spatial_shape(layout.grid.shape, label)
    check_affine(layout.grid.affine, label)
    voxels = np.zeros(shape[::-1], np.float32)
    voxels[list(layout.indices)] = _read_slices(layout.slices, name)
    _fill(voxels, layout.indices, layout.missing)
    data: Array = voxels.transpose(2, 1, 0)
    check_voxels(data, label)
    return Volume(data, layout.grid)


def _read_slices(slices: Sequence[Slice], name: str) -> Array:
    """Return rescaled values, (slices, rows, columns)."""
    decoded: dict[Path, Array] = {}
    planes = np.empty((len(slices), slices[0].stored.rows, slices[0].stored.columns), np.float32)
    for index, item in enumerate(slices):
        if item.path not in decoded:
            frames = decode(item.path, item.stored, name)
            if item.stored.frames > 1:
                decoded[item.path] = frames
        else:
            frames = decoded[item.path]
        planes[index] = frames[item.frame] * item.slope + item.intercept
    return planes


def decode(path: Path, stored: Stored, name: str) -> Array:
    """Return the stored values of a file before rescaling, (frames, rows, columns).

    Raises:
        VolumeError: GDCM cannot decode the file, or it contains no grey values.
    """
    if not stored.is_monochrome:
        raise VolumeError(
            f"{name} holds colour or inverted images, not grey values. Send the original series of the scanner."
        )
    try:
        with _ONE_AT_A_TIME:
            values, slope, intercept = _decode_at_any_spacing(path)
    except RuntimeError as error:
        reason = extract_first_line(error).rsplit(": ", maxsplit=1)[-1][:120]
        raise VolumeError(
            f"The voxels of {path.name} in {name} cannot be decoded ({reason}). "
            "The file is damaged or uses a rare compression. Send it again, uncompressed."
        ) from error
    if values.shape != (stored.frames, stored.rows, stored.columns):
        raise VolumeError(f"{path.name} in {name} has voxels that do not match its header. Send it again.")
    return _undo_rescaling(values, slope, intercept)


def _decode_at_any_spacing(path: Path) -> tuple[Array, float, float]:
    """Decode a file. ITK refuses a Spacing Between Slices of 0, so decode a copy with another one.

    The grid comes from the positions of the slices, so this spacing has no effect.
    """
    try:
        return _decode_with_gdcm(path)
    except RuntimeError as error:
        if "spacing" not in str(error).lower():
            raise
    import pydicom

    with TemporaryDirectory() as folder:
        copy = Path(folder) / "image.dcm"
        dataset = pydicom.dcmread(path, force=True)
        for element in dataset.iterall():
            if element.keyword == "SpacingBetweenSlices":
                element.value = 1
        dataset.save_as(copy)
        return _decode_with_gdcm(copy)


def _decode_with_gdcm(path: Path) -> tuple[Array, float, float]:
    """Return the voxels decoded by GDCM, and the slope and intercept that it applied."""
    import itk

    decoder: Any = itk.GDCMImageIO.New()
    reader: Any = itk.ImageFileReader[itk.Image[itk.F, 3]].New()
    reader.SetImageIO(decoder)
    reader.SetFileName(str(path))
    reader.Update()
    voxels: Array = itk.array_from_image(reader.GetOutput())
    return voxels, float(decoder.GetRescaleSlope()), float(decoder.GetRescaleIntercept())


def _undo_rescaling(values: Array, slope: float, intercept: float) -> Array:
    """Undo the rescaling of GDCM, which applies the first frame's slope to all. Stored values are integers."""
    if (slope, intercept) == (1.0, 0.0) or slope == 0:
        return values
    return np.rint((values.astype(np.float64) - intercept) / slope).astype(np.float32)


def _fill(voxels: Array, present: Sequence[int], missing: Sequence[int]) -> None:
    for index in missing:
        below = max(position for position in present if position < index)
        above = min(position for position in present if position > index)
        share = np.float32((index - below) / (above - below))
        voxels[index] = voxels[below] * (1 - share) + voxels[above] * share
