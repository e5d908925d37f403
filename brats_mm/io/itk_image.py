"""MetaImage and NRRD files in, through SimpleITK: its LPS geometry becomes the RAS+ affine used here."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (as its makers abbreviate it)

from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import VolumeError
from brats_mm.io.itk_header import check_header, check_metaimage_size, damaged
from brats_mm.io.volume_checks import check_affine, check_spacing, check_voxels, spatial_shape

READERS = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO", ".nrd": "NrrdImageIO"}
"""File suffix -> ITK's reader. Named outright, so that no other reader guesses at a damaged file."""

SCANNER = 1
"""NIfTI code of scanner coordinates, which is what these formats mean by their geometry."""

_QUIET = threading.Lock()


def read_itk(path: Path) -> Volume:
    """One volume of an .mha, .mhd or .nrrd file.

    Raises:
        VolumeError: the file cannot be read, or its shape, geometry or voxels cannot be used.
    """
    check_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(READERS[path.suffix.lower()])
    with _no_itk_warnings():
        _run(reader.ReadImageInformation, path)
        shape = spatial_shape(reader.GetSize(), path)
        _check_pixels(reader, path)
        check_spacing(reader.GetSpacing()[:3], path)
        affine = _ras_affine(reader)
        check_affine(affine, path)
        if READERS[path.suffix.lower()] == "MetaImageIO":
            check_metaimage_size(path)
        image = _run(reader.Execute, path)
    data = sitk.GetArrayViewFromImage(image).T.reshape(shape, order="F").astype(np.float32)
    check_voxels(data, path)
    return Volume(data, Grid(shape, affine, sform_code=SCANNER, qform_code=SCANNER))


def _run(step: Any, path: Path) -> Any:
    try:
        return step()
    except (RuntimeError, MemoryError) as error:
        raise damaged(path) from error


def _check_pixels(reader: Any, path: Path) -> None:
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if reader.GetNumberOfComponents() != 1 or "complex" in kind or "vector" in kind:
        message = (
            f"{path.name} has colour, vector or complex voxels ({kind}). Give a volume with one grey value a voxel."
        )
        raise VolumeError(message)


def _ras_affine(reader: Any) -> npt.NDArray[np.float64]:
    axes = reader.GetDimension()
    affine = np.eye(4)
    affine[:3, :3] = np.array(reader.GetDirection()).reshape(axes, axes)[:3, :3] * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


@contextmanager
def _no_itk_warnings() -> Iterator[None]:
    """ITK prints to the terminal past Python; what matters of it comes as an exception anyway."""
    with _QUIET:
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.GlobalWarningDisplayOff()
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)
