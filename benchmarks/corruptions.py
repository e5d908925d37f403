"""Named changes of a case that simulate differences between scans, to measure the cost of each.

Each change keeps the background exactly zero, because it simulates a scan whose brain was extracted afterwards, and
works with any available sequences.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from brats_mm.domain.case import Case
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region
from brats_mm.domain.resample import compute_resampled_side, resample
from brats_mm.domain.volume import Array, Grid, Volume

Masks = Mapping[Region, Mask]


@dataclass(frozen=True)
class Shift:
    """A named change of a case.

    Attributes:
        name: name of the table row.
        apply: function of a case, its region masks and a random generator that returns the changed case and masks. The
            masks change only with the grid.
    """

    name: str
    apply: Callable[[Case, Masks, np.random.Generator], tuple[Case, Masks]]


def reoriented(axes: str) -> Shift:
    """Store voxels along other axes, such as `PIR`. Positions in patient space are unchanged."""

    def apply(case: Case, masks: Masks, rng: np.random.Generator) -> tuple[Case, Masks]:
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(case.grid.affine), nib.orientations.axcodes2ornt(tuple(axes))
        )

        def turned(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.ascontiguousarray(nib.orientations.apply_orientation(voxels, turn))

        affine = case.grid.affine @ nib.orientations.inv_ornt_aff(turn, case.grid.shape)
        any_volume = next(iter(case.volumes.values()))
        shape = turned(any_volume.data).shape
        grid = Grid((shape[0], shape[1], shape[2]), affine)
        volumes = {modality: Volume(turned(volume.data), grid) for modality, volume in case.volumes.items()}
        return replace(case, volumes=volumes, grid=grid), {region: turned(mask) for region, mask in masks.items()}

    return Shift(f"axes {axes}", apply)


def rescaled(name: str, largest: float, *, integer: bool = False) -> Shift:
    """Rescale intensities to the maximum `largest`, optionally rounded as in an integer file."""

    def change(voxels: Array, rng: np.random.Generator) -> Array:
        scaled = voxels * np.float32(largest / max(float(voxels.max()), 1e-6))
        return np.where(voxels != 0, np.maximum(np.rint(scaled), 1), 0).astype(np.float32) if integer else scaled

    return _each_volume(name, change)


def noisy(share: float) -> Shift:
    """Add Rician noise, as in magnitude images. Its strength is a share of the brain's mean intensity."""

    def change(voxels: Array, rng: np.random.Generator) -> Array:
        strength = share * float(voxels[voxels != 0].mean())
        real = voxels + strength * rng.standard_normal(voxels.shape, np.float32)
        imaginary = strength * rng.standard_normal(voxels.shape, np.float32)
        return np.asarray(np.hypot(real, imaginary) * (voxels != 0), np.float32)

    return _each_volume(f"noise of {share:.0%} of the mean", change)


def biased(strength: float) -> Shift:
    """Multiply each sequence by its own smooth field of up to 1 +- strength."""

    def change(voxels: Array, rng: np.random.Generator) -> Array:
        coarse = rng.uniform(-1, 1, (3, 3, 3)).astype(np.float32)
        zoom = [size / 3 for size in voxels.shape]
        field = ndimage.zoom(coarse, zoom, order=1, mode="nearest", grid_mode=True)[tuple(map(slice, voxels.shape))]
        return np.asarray(voxels * (1 + strength * field), np.float32)

    return _each_volume(f"bias field of +-{strength:.0%}", change)


def thick_slices(slice_mm: float) -> Shift:
    """Resample to slices of this thickness along the last axis and back to the case's grid."""

    def apply(case: Case, masks: Masks, rng: np.random.Generator) -> tuple[Case, Masks]:
        x, y, z = case.grid.shape
        slices = compute_resampled_side(z, case.grid.spacing_mm[2], slice_mm)

        def averaged(voxels: Array) -> Array:
            return resample(resample(voxels, (x, y, slices)), (x, y, z))

        def change(voxels: Array) -> Array:
            inside = (voxels != 0).astype(np.float32)
            # Average over brain only, because a scanner would have measured skull outside it.
            return np.asarray(averaged(voxels) / np.maximum(averaged(inside), 1e-3) * inside, np.float32)

        volumes = {modality: replace(volume, data=change(volume.data)) for modality, volume in case.volumes.items()}
        return replace(case, volumes=volumes), masks

    return Shift(f"slices of {slice_mm:g} mm", apply)


def misregistered(distance_mm: float, angle_degrees: float) -> Shift:
    """Move all sequences but one by a random shift and rotation of the given sizes.

    FLAIR or else the first sequence stays, because the masks were drawn on one of them.
    """

    def apply(case: Case, masks: Masks, rng: np.random.Generator) -> tuple[Case, Masks]:
        still = Modality.FLAIR if Modality.FLAIR in case.volumes else next(iter(case.volumes))
        volumes = {}
        for modality, volume in case.volumes.items():
            moved = _move(volume.data, case.grid.spacing_mm, distance_mm, angle_degrees, rng)
            volumes[modality] = volume if modality is still else replace(volume, data=moved)
        return replace(case, volumes=volumes), masks

    return Shift(f"sequences {distance_mm:g} mm and {angle_degrees:g} degrees apart", apply)


def _each_volume(name: str, change: Callable[[Array, np.random.Generator], Array]) -> Shift:
    def apply(case: Case, masks: Masks, rng: np.random.Generator) -> tuple[Case, Masks]:
        volumes = {
            modality: replace(volume, data=change(volume.data, rng)) for modality, volume in case.volumes.items()
        }
        return replace(case, volumes=volumes), masks

    return Shift(name, apply)


def _move(
    voxels: Array,
    spacing_mm: tuple[float, float, float],
    distance_mm: float,
    angle_degrees: float,
    rng: np.random.Generator,
) -> Array:
    """Rotate about a random axis through the centre and shift in a random direction. Background stays zero."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in rng.standard_normal((2, 3)))
    angle = np.deg2rad(angle_degrees)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross  # Rodrigues' formula
    scale = np.diag(spacing_mm)
    matrix = np.linalg.inv(scale) @ turn @ scale
    centre = (np.array(voxels.shape) - 1) / 2
    offset = centre - matrix @ centre + distance_mm * direction / np.array(spacing_mm)
    moved = ndimage.affine_transform(voxels, matrix, offset, order=1)
    inside = ndimage.affine_transform((voxels != 0).astype(np.float32), matrix, offset, order=1) >= 0.5
    return np.asarray(moved * inside, np.float32)


SHIFTS = (
    Shift("as they are", lambda case, masks, rng: (case, masks)),
    reoriented("PIR"),
    rescaled("int16, up to 4000", 4000.0, integer=True),
    rescaled("uint8, up to 255", 255.0, integer=True),
    rescaled("floats up to 1", 1.0),
    misregistered(1.0, 1.0),
    misregistered(2.0, 2.0),
    noisy(0.05),
    noisy(0.1),
    biased(0.2),
    biased(0.4),
    thick_slices(2.0),
    thick_slices(3.0),
    thick_slices(5.0),
)
"""Changes seen in clinical scans, from harmless to hard."""
