"""Volumes from images in memory: nibabel, SimpleITK, NumPy and torch arrays with an affine, MONAI's `MetaTensor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (the usual abbreviation)
from nibabel.spatialimages import SpatialImage

from brats_mm.data.nan_background import fill_nan_background
from brats_mm.data.nifti_units import convert_affine_to_mm
from brats_mm.data.value_range import scale_extremes
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.volume import Grid, Volume, build_ras_affine
from brats_mm.errors import CaseError, VolumeError
from brats_mm.io.volume_checks import check_affine, check_spacing, check_voxels, to_spatial_shape

SCANNER = 1
"""NIfTI code of scanner coordinates, assumed for an affine given with an array."""


@dataclass(frozen=True, eq=False)
class ArrayImage:
    """An array with its geometry.

    Attributes:
        data: (h, w, d) NumPy array or torch tensor. A leading or trailing axis of length one is dropped.
        affine: (4, 4) from voxel indices to millimetres in RAS+ patient space (the NIfTI convention).
    """

    data: Any
    affine: Any


def to_volume(image: Any, name: str) -> Volume:
    """Return an in-memory image as a volume, with the same checks as for files.

    Args:
        image: a `Volume`, a nibabel or SimpleITK image, an `ArrayImage`, a pair (array, affine) of NumPy arrays or
            torch tensors, or a MONAI `MetaTensor`.
        name: name of the image for error messages.

    Raises:
        VolumeError: the type of the image is not supported, or its voxels or geometry cannot be used.
    """
    label = Path(name)
    if isinstance(image, Volume):
        return image
    if isinstance(image, sitk.Image):
        to_spatial_shape(image.GetSize(), label)
        check_spacing(image.GetSpacing()[:3], label)
        return _build_checked(sitk.GetArrayViewFromImage(image).T, _compute_ras_affine(image), label, SCANNER)
    if isinstance(image, SpatialImage):
        header: Any = image.header
        codes = [int(header[code]) if code in header else SCANNER for code in ("sform_code", "qform_code")]
        stated = image.header.get_best_affine() if image.affine is None else image.affine
        affine, note = convert_affine_to_mm(stated, header)
        return _build_checked(np.asanyarray(image.dataobj), affine, label, *codes, note=note)
    if isinstance(image, ArrayImage):
        image = (image.data, image.affine)
    elif hasattr(image, "affine"):  # a MetaTensor
        affine, note = convert_affine_to_mm(_to_array(image.affine), getattr(image, "meta", {}))
        return _build_checked(_to_array(image), _to_array(affine), label, SCANNER, note=note)
    if isinstance(image, tuple) and len(image) == 2:
        return _build_checked(_to_array(image[0]), _to_array(image[1]), label, SCANNER)
    raise VolumeError(
        f"{name} is a {type(image).__name__}, which has no known geometry. Provide a file, a nibabel or SimpleITK "
        "image, a MetaTensor, or a pair (array, affine)."
    )


def is_channel_image(image: Any) -> bool:
    """Return whether an in-memory image is one tensor with an affine and four axes, such as MONAI's `MetaTensor`."""
    return hasattr(image, "affine") and hasattr(image, "detach") and len(image.shape) == 4


def split_channels(image: Any) -> Mapping[Modality, ArrayImage]:
    """Return the sequences of an in-memory image with a channel for each of T1, T1ce, T2 and FLAIR, in this order.

    Args:
        image: (4, h, w, d) tensor with an affine, such as a `MetaTensor`. A channel without signal is a missing
            sequence.

    Raises:
        CaseError: the number of channels is not four, or no channel has signal.
    """
    data = _to_array(image)
    if len(data) != len(MODALITIES):
        raise CaseError(
            f"The image in memory has the shape {tuple(data.shape)}. Provide an array of (4, h, w, d) with the "
            "channels T1, T1ce, T2 and FLAIR, with zeros for a missing sequence, or a mapping from sequence to image."
        )
    present = {modality: ArrayImage(data[modality.channel], image.affine) for modality in MODALITIES}
    present = {modality: image for modality, image in present.items() if np.any(np.nan_to_num(image.data))}
    if not present:
        raise CaseError("All four channels of the image in memory are empty. Fill at least one sequence.")
    return present


def _build_checked(
    data: npt.NDArray[Any], affine: npt.NDArray[Any], label: Path, *codes: int, note: str | None = None
) -> Volume:
    if data.ndim > 3 and data.shape[0] == 1:  # the channel axis of MONAI
        data = data[0]
    shape = to_spatial_shape(data.shape, label)
    if data.dtype.kind not in "iufb" or affine.shape != (4, 4):
        raise VolumeError(
            f"{label} must have one grey value per voxel and a (4, 4) affine, but has the type {data.dtype} and the "
            f"affine shape {affine.shape}."
        )
    matrix = np.array(affine, np.float64)
    check_affine(matrix, label)
    filled, nan_notes = fill_nan_background(np.asarray(data.reshape(shape), np.float32, order="F"))
    check_voxels(filled, label)
    voxels, scale_notes = scale_extremes(filled)
    grid = Grid(shape, matrix, sform_code=codes[0], qform_code=codes[-1])
    return Volume(voxels, grid, (*((note,) if note else ()), *nan_notes, *scale_notes))


def _compute_ras_affine(image: sitk.Image) -> npt.NDArray[np.float64]:
    """Return the (4, 4) affine to RAS+ of SimpleITK's LPS geometry."""
    directions = np.reshape(image.GetDirection(), (image.GetDimension(), -1))[:3, :3]
    return build_ras_affine(directions * image.GetSpacing()[:3], image.GetOrigin()[:3])


def _to_array(values: Any) -> npt.NDArray[Any]:
    """Return an array or tensor as a NumPy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()  # NumPy has no bfloat16
    return np.asarray(values)
