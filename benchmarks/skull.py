"""Generate a skull, scalp, face and neck around a skull-stripped head, for raw scans without patient images.

The head is drawn as signed distances on a coarse grid and depends on the seed: cerebrospinal fluid, two tables of bone
with marrow between them, fat, skin, and below the brain a face with eyes and air, and a neck with muscles and a spinal
cord. It resembles a scan closely enough to train and test brain extraction, but it is not anatomically correct.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from brats_mm.data.phantom.anatomy import PITCH_MM, smooth_noise
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import Modality
from brats_mm.domain.resample import find_bounding_box, resample
from brats_mm.domain.volume import Array, Grid, Volume

Tissues = npt.NDArray[np.uint8]
Sizes = tuple[float | int, ...]


class Tissue(IntEnum):
    """Tissue of a voxel outside the brain."""

    AIR = 0
    BRAIN = 1
    FLUID = 2
    BONE = 3
    MARROW = 4
    FAT = 5
    SKIN = 6
    MUSCLE = 7
    EYE = 8
    CORD = 9
    MUCOSA = 10


SIGNAL: dict[Modality, tuple[float, ...]] = {
    Modality.T1: (0.01, 1.0, 0.3, 0.08, 1.2, 1.7, 0.75, 0.65, 0.3, 0.95, 0.7),
    Modality.T1CE: (0.01, 1.0, 0.35, 0.1, 1.2, 1.6, 0.9, 0.75, 0.3, 0.95, 1.5),
    Modality.T2: (0.01, 1.0, 2.3, 0.06, 0.8, 1.4, 0.6, 0.35, 2.4, 0.9, 1.8),
    Modality.FLAIR: (0.01, 1.0, 0.25, 0.08, 0.8, 1.2, 0.7, 0.5, 0.3, 0.9, 1.3),
}
"""Signal of each tissue relative to the brain's median, in the order of `Tissue`."""

_NOISE = 0.025
"""Standard deviation of the noise relative to the brain's median."""


@dataclass(frozen=True, eq=False)
class RawHead:
    """A head with skull.

    Attributes:
        images: one volume per sequence, all on `grid`, without exact zeros.
        brain: mask of the signal in the skull-stripped images, the ground truth for brain extraction.
        tissues: tissue of each voxel, as `Tissue`.
        grid: grid of the stripped images with a margin.
    """

    images: Mapping[Modality, Volume]
    brain: Mask
    tissues: Tissues
    grid: Grid


@dataclass(frozen=True)
class Margin:
    """Margin in millimetres around the stripped images: to the sides and on top, and below."""

    around_mm: float = 12.0
    below_mm: float = 30.0


def add_skull(stripped: Mapping[Modality, Volume], seed: int, margin: Margin | None = None) -> RawHead:
    """Add a synthetic skull, face and neck to skull-stripped sequences on one grid.

    Args:
        stripped: volumes with a background of exactly zero.
        seed: random seed of the shape, the signals and the noise.
        margin: margin to add to the field of view. None uses the default.
    """
    rng = np.random.default_rng(seed)
    grid, before = _widened(next(iter(stripped.values())).grid, margin or Margin())
    wide = {modality: _placed(volume.data, grid.shape, before) for modality, volume in stripped.items()}
    brain = np.logical_or.reduce([data != 0 for data in wide.values()])
    tissues = _draw(rng, brain, grid)
    images = {modality: Volume(_image(rng, wide[modality], tissues, modality), grid) for modality in wide}
    return RawHead(images, brain, tissues, grid)


def _widened(grid: Grid, margin: Margin) -> tuple[Grid, tuple[int, int, int]]:
    before, after = [0, 0, 0], [0, 0, 0]
    for axis, (world, sign) in enumerate(grid.ras_axes):
        voxels = [round(mm / grid.spacing_mm[axis]) for mm in (margin.around_mm, margin.around_mm)]
        if world == 2:
            voxels[0 if sign > 0 else 1] = round(margin.below_mm / grid.spacing_mm[axis])
        before[axis], after[axis] = voxels
    affine = grid.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array(before)
    x, y, z = (b + size + a for b, size, a in zip(before, grid.shape, after, strict=True))
    return Grid((x, y, z), affine), (before[0], before[1], before[2])


def _placed(data: Array, shape: tuple[int, int, int], before: tuple[int, int, int]) -> Array:
    whole = np.zeros(shape, np.float32)
    x, y, z = (slice(start, start + size) for start, size in zip(before, data.shape, strict=True))
    whole[x, y, z] = data
    return whole


def _draw(rng: np.random.Generator, brain: Mask, grid: Grid) -> Tissues:
    """Return the tissue of each voxel. Fields are coarse, and borders are their zero crossings on the fine grid."""
    x, y, z = (max(8, round(n * mm / PITCH_MM)) for n, mm in zip(grid.shape, grid.spacing_mm, strict=True))
    coarse = resample(brain.astype(np.float32), (x, y, z)) > 0.5
    fields = _Fields.around(rng, coarse, grid)

    def fine(field: Array) -> Array:
        return resample(np.asarray(field, np.float32), grid.shape)

    depth, surface = fine(fields.outside), fine(fields.surface)
    tissues = np.full(grid.shape, Tissue.AIR, np.uint8)
    inside = surface < 0
    tissues[inside] = np.where(fine(fields.meat) > 0, Tissue.MUSCLE, Tissue.FAT)[inside]
    tissues[inside & (surface > -fine(fields.fat_mm))] = Tissue.FAT
    tissues[inside & (surface > -2.2)] = Tissue.SKIN
    for tissue, field in fields.parts:
        tissues[(fine(field) < 0) & inside] = tissue
    limit = np.zeros_like(depth)
    shells = (Tissue.FLUID, Tissue.BONE, Tissue.MARROW, Tissue.BONE)
    below = depth * 0
    for tissue, thickness in zip(shells, fields.shells_mm, strict=True):
        below, limit = limit, limit + fine(thickness)
        tissues[(depth > below) & (depth <= limit)] = tissue
    tissues[(depth <= 0.01) & ~brain] = Tissue.FLUID
    cord = (fine(fields.canal) < 0) & (depth > 0) & inside
    tissues[cord] = np.where(fine(fields.canal) < -3.5, Tissue.CORD, Tissue.FLUID)[cord]
    tissues[brain] = Tissue.BRAIN
    return tissues


@dataclass(frozen=True, eq=False)
class _Fields:
    """Fields of the head on the coarse grid, in millimetres. Distances are negative inside.

    Attributes:
        outside: distance from the brain's envelope, positive outside.
        surface: distance from the skin.
        shells_mm: thickness of fluid, inner table, marrow and outer table.
        fat_mm: thickness of skin and the fat below it.
        meat: positive where the tissue below the fat is muscle.
        canal: distance from the wall of the spinal canal.
        parts: parts of the face and neck. Later ones cover earlier ones.
    """

    outside: Array
    surface: Array
    shells_mm: tuple[Array, Array, Array, Array]
    fat_mm: Array
    meat: Array
    canal: Array
    parts: tuple[tuple[Tissue, Array], ...]

    @classmethod
    def around(cls, rng: np.random.Generator, brain: Mask, grid: Grid) -> "_Fields":
        shape = (brain.shape[0], brain.shape[1], brain.shape[2])
        envelope = _close_brain(brain)
        outside = np.asarray(ndimage.distance_transform_edt(~envelope), np.float32) * np.float32(PITCH_MM)
        at = _head_coordinates(envelope, grid)

        def varied(mean: float, spread: float, least: float) -> Array:
            thickness = mean * rng.uniform(0.7, 1.4) + spread * smooth_noise(rng, shape, 14.0)
            return np.asarray(np.maximum(least, thickness), np.float32)

        shells = (varied(2.2, 0.7, 0.3), varied(1.8, 0.4, 1.0), varied(3.0, 1.2, 0.2), varied(2.0, 0.5, 1.0))
        scalp = varied(6.0, 1.5, 3.0)
        surface = outside - (sum(shells) + scalp)
        surface = np.minimum(surface, _face_and_neck(rng, at) + 2.5 * smooth_noise(rng, shape, 16.0))
        return cls(
            outside=outside,
            surface=np.asarray(surface, np.float32),
            shells_mm=shells,
            fat_mm=varied(5.0, 1.5, 2.6),
            meat=smooth_noise(rng, shape, 9.0) + np.float32(rng.uniform(0.2, 1.2)),
            canal=np.hypot(at[0] - rng.normal(0, 2), at[1] + rng.uniform(18, 34)) - 7.5 + 0 * at[2],
            parts=_parts(rng, at),
        )


def _close_brain(brain: Mask) -> Mask:
    """Return the envelope of the brain, with sulci and ventricles closed."""
    reach = 4
    padded = np.pad(brain, 2 * reach)
    near = ndimage.distance_transform_edt(~padded) <= reach
    shut = ndimage.distance_transform_edt(near) > reach
    inner = (slice(2 * reach, -2 * reach),) * 3
    return np.asarray(ndimage.binary_fill_holes(shut[inner] | brain))


def _head_coordinates(envelope: Mask, grid: Grid) -> tuple[Array, Array, Array]:
    """Return coordinates (right, front, top) in mm from a point 85 mm behind the front and 70 mm below the top of the
    brain.
    """
    box = find_bounding_box(envelope)
    at: dict[int, Array] = {}
    for axis, (world, sign) in enumerate(grid.ras_axes):
        index = np.arange(envelope.shape[axis], dtype=np.float32)
        low, high = box[axis].start, box[axis].stop - 1
        far = high if sign > 0 else low
        along = sign * (index - (low + high) / 2 if world == 0 else index - far) * PITCH_MM
        along += (0, 85, 70)[world]
        at[world] = along.reshape([-1 if other == axis else 1 for other in range(3)]).astype(np.float32)
    return at[0], at[1], at[2]


def _ball(at: tuple[Array, Array, Array], centre: Sizes, half: Sizes) -> Array:
    """Return the approximate signed distance to an ellipsoid."""
    radius = np.sqrt(sum(((axis - c) / h) ** 2 for axis, c, h in zip(at, centre, half, strict=True)))
    return np.asarray((radius - 1) * min(half), np.float32)


def _face_and_neck(rng: np.random.Generator, at: tuple[Array, Array, Array]) -> Array:
    jitter = rng.normal(0, 4, 3)
    face = _ball(at, (0, 48 + jitter[0], -68 + jitter[1]), (60, 55, 72))
    nose = _ball(at, (0, 100 + jitter[2], -48), (13, 18, 22))
    neck = np.hypot(at[0] / 1.05, at[1] + 18 + jitter[2]) - rng.uniform(52, 64)
    neck = np.maximum(neck, at[2] + 40)
    return np.asarray(np.minimum(np.minimum(face, nose), neck), np.float32)


def _parts(rng: np.random.Generator, at: tuple[Array, Array, Array]) -> tuple[tuple[Tissue, Array], ...]:
    mirrored = (np.abs(at[0]), at[1], at[2])

    def near(*centre: float | int) -> Sizes:
        return tuple(float(c + rng.normal(0, 2.5)) for c in centre)

    return (
        (Tissue.BONE, _ball(mirrored, near(20, 62, -80), (30, 22, 9))),
        (Tissue.MUSCLE, _ball(at, near(0, 55, -98), (26, 34, 16))),
        (Tissue.MUSCLE, _ball(mirrored, near(62, 28, -38), (9, 28, 30))),
        (Tissue.BONE, _ball(mirrored, near(44, -8, -44), (22, 14, 12))),
        (Tissue.AIR, _ball(mirrored, near(52, -18, -48), (7, 8, 9))),
        (Tissue.MUCOSA, _ball(at, near(0, 62, -48), (15, 26, 22))),
        (Tissue.AIR, _ball(at, near(0, 62, -50), (9, 24, 18))),
        (Tissue.AIR, _ball(mirrored, near(25, 60, -54), (13, 15, 15))),
        (Tissue.AIR, _ball(at, near(0, 18, -84), (10, 9, 28))),
        (Tissue.FAT, _ball(mirrored, near(31, 62, -26), (19, 24, 19))),
        (Tissue.MUSCLE, _ball(mirrored, near(30, 48, -26), (6, 22, 6))),
        (Tissue.EYE, _ball(mirrored, near(32, 74, -26), (12, 12, 12))),
        (Tissue.BONE, np.hypot(at[0], at[1] + 30) - 20 + np.maximum(at[2] + 62, 0)),
        (Tissue.MARROW, np.hypot(at[0], at[1] + 12) - 11 + np.maximum(at[2] + 66, 0)),
    )


def _image(rng: np.random.Generator, stripped: Array, tissues: Tissues, modality: Modality) -> Array:
    """Render a sequence: the given brain, the other tissues in their contrast, and noise."""
    inside = tissues == Tissue.BRAIN
    typical = float(np.median(stripped[inside & (stripped != 0)])) if inside.any() else 1.0
    signal = np.array(SIGNAL[modality], np.float32) * rng.lognormal(0, 0.2, len(Tissue)).astype(np.float32)
    head = ndimage.gaussian_filter(signal[tissues] * np.float32(typical), 0.6)
    outer = rng.uniform(1.0, 1.5)
    image = np.where(inside & (stripped != 0), stripped, head * np.where(inside, 1, outer))
    sigma = np.float32(_NOISE * typical)
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, sigma * rng.standard_normal(image.shape, dtype=np.float32)), np.float32)
