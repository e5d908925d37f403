"""Shape of the synthetic head: tissue borders as smooth fields on a coarse grid in head millimetres.

Fields are coarse (2 mm). Borders are signed distances, which can be interpolated to any grid and keep sharp edges at
low cost. The frame is RAS: x right, y anterior, z superior, origin at the centre of the brain.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from brats_mm.domain.volume import Array

PITCH_MM = 2.0
HALF_EXTENT_MM = (74.0, 94.0, 76.0)
"""Half-extent around the origin that contains the brain."""

Point = tuple[int | float, int | float, int | float]

_VENTRICLES: tuple[tuple[Point, Point, float], ...] = (
    ((6, 34, 8), (10, 8, 17), 7.5),  # frontal horn, towards the body
    ((10, 8, 17), (14, -22, 17), 6.5),  # body
    ((14, -22, 17), (24, -38, 6), 8.5),  # atrium
    ((24, -38, 6), (26, -58, 3), 5.0),  # occipital horn
    ((24, -38, 4), (34, -8, -18), 3.5),  # temporal horn
)
"""Lateral ventricle as capsules (from, to, radius), right side."""

_MIDLINE_VENTRICLES: tuple[tuple[Point, Point, float], ...] = (
    ((0, 4, 4), (0, -16, 2), 2.5),  # third
    ((0, -16, 2), (0, -30, -24), 1.2),  # aqueduct
    ((0, -32, -30), (0, -36, -42), 5.0),  # fourth
)

_NUCLEI: tuple[tuple[Point, Point], ...] = (
    ((10, -10, 6), (8, 14, 8)),  # thalamus
    ((25, 5, 2), (6, 17, 10)),  # putamen and pallidum
    ((14, 20, 12), (5, 11, 8)),  # caudate head
)
"""Deep grey matter as ellipsoids (centre, half-axes), right side."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Coordinates of the coarse grid in head millimetres, one array per axis. Shapes broadcast to a volume."""

    x: Array
    y: Array
    z: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size of the coarse grid."""
        width, depth, height = np.broadcast_shapes(self.x.shape, self.y.shape, self.z.shape)
        return width, depth, height


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A healthy head on the coarse grid. Distances are in millimetres.

    Attributes:
        hull: positive inside the brain's envelope.
        pial: depth below the nearest open surface (envelope, fissures between the lobes and under the tentorium).
        fold: signed distance to the nearest sulcus sheet, perpendicular to the surface.
        sulcus_reach: depth of the sulci.
        ventricle: negative inside the ventricles.
        nucleus: negative inside deep grey matter.
        stem: negative inside brainstem.
        sinus: negative inside the sagittal sinus.
    """

    hull: Array
    pial: Array
    fold: Array
    sulcus_reach: Array
    ventricle: Array
    nucleus: Array
    stem: Array
    sinus: Array


def build_coarse_axes() -> Axes:
    """Return the coarse grid, which all phantoms share."""
    x, y, z = (np.arange(-half, half + 1e-3, PITCH_MM, dtype=np.float32) for half in HALF_EXTENT_MM)
    return Axes(x[:, None, None], y[None, :, None], z[None, None, :])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int, int], sigma_mm: float) -> Array:
    """Return Gaussian noise with mean 0, standard deviation 1 and a correlation length of `sigma_mm`.

    Args:
        rng: source of randomness.
        shape: shape of the coarse grid.
        sigma_mm: correlation length in millimetres.
    """
    bumps = [_build_bumps(size, sigma_mm / PITCH_MM) for size in shape]
    noise = rng.standard_normal([bump.shape[1] for bump in bumps], dtype=np.float32)
    for bump in bumps:  # each turn moves the first axis to the end, so three turns restore the order
        noise = np.tensordot(noise, bump, axes=(0, 1))
    noise -= noise.mean()
    return np.asarray(noise / noise.std(), np.float32)


def _build_bumps(size: int, sigma: float) -> Array:
    """Return bell curves spaced slightly more than `sigma` along an axis, (size, bumps), all in samples."""
    centres = np.arange(-2 * sigma, size + 2 * sigma, 1.2 * sigma)
    return np.exp(-(((np.arange(size)[:, None] - centres) / sigma) ** 2)).astype(np.float32)


def build_anatomy(rng: np.random.Generator, axes: Axes) -> Anatomy:
    """Generate a head with random size, symmetry and folds."""
    bent = _bend(rng, axes)
    cerebellum = _build_ellipsoid(bent, (0, -52, -38), (50, 33, 26))
    stem = _build_capsule(bent, (0, -14, -14), (0, -26, -72), 13.0)
    hull = _build_hull(bent, cerebellum, stem)
    pial = np.minimum(_compute_depth(hull), _compute_fissure_distance(bent, cerebellum, stem))
    inward = np.stack(np.gradient(ndimage.gaussian_filter(np.maximum(pial, 0), 1.5), PITCH_MM))
    fold = _build_folds(rng, axes, pial, inward)
    fold = np.where(cerebellum < 1.5, _build_folia(rng, bent), fold)
    upright = np.maximum(np.clip(np.sqrt((inward**2).sum(axis=0)) * 4 - 2.6, 0, 1), np.clip(2 - pial / 5, 0, 1))
    reach = upright * (16 + 3 * smooth_noise(rng, axes.shape, 14.0))
    reach = np.where(cerebellum < 0, 18, np.where(stem < 2, 0, reach))
    paired = np.minimum.reduce([_build_capsule(_mirror(bent), *capsule) for capsule in _VENTRICLES])
    midline = [_build_capsule(bent, *capsule) for capsule in _MIDLINE_VENTRICLES]
    ventricle = np.minimum.reduce([np.maximum(paired, 1.2 - np.abs(bent.x)), *midline])  # 1.2: half of the septum
    nuclei = np.minimum.reduce([_build_ellipsoid(_mirror(bent), centre, half) for centre, half in _NUCLEI])
    sinus = np.maximum(np.abs(bent.x) - 3, np.maximum(hull - 6, -bent.z - 5 + np.maximum(bent.y, -20)))
    fields = (hull, pial, fold, reach, ventricle, nuclei, stem, sinus)
    return Anatomy(*(np.ascontiguousarray(field, dtype=np.float32) for field in fields))


def _bend(rng: np.random.Generator, axes: Axes) -> Axes:
    """Return slightly warped and scaled coordinates, so that each head has a different shape."""
    size = 1 + 0.03 * rng.standard_normal(3).clip(-1.2, 0.4)
    warped = (
        axis / np.float32(scale) + 1.6 * smooth_noise(rng, axes.shape, 22.0)
        for axis, scale in zip((axes.x, axes.y, axes.z), size, strict=True)
    )
    return Axes(*(np.asarray(axis, np.float32) for axis in warped))


def _mirror(at: Axes) -> Axes:
    return Axes(np.abs(at.x), at.y, at.z)


def _build_ellipsoid(at: Axes, centre: Point, half: Point, power: float = 2.0) -> Array:
    """Return the approximate signed distance to a (super)ellipsoid, negative inside."""
    offsets = (np.abs(axis - c) / h for axis, c, h in zip((at.x, at.y, at.z), centre, half, strict=True))
    radius = sum(offset**power for offset in offsets) ** (1 / power)
    return np.asarray((radius - 1) * np.float32(min(half)), np.float32)


def _build_capsule(at: Axes, start: Point, end: Point, radius: float) -> Array:
    """Return the signed distance to a capsule, negative inside."""
    along = np.subtract(end, start)
    offsets = [axis - c for axis, c in zip((at.x, at.y, at.z), start, strict=True)]
    position = sum(offset * a for offset, a in zip(offsets, along, strict=True)) / float(along @ along)
    position = np.clip(position, 0, 1)
    square = sum((offset - position * a) ** 2 for offset, a in zip(offsets, along, strict=True))
    return np.asarray(np.sqrt(square) - radius, np.float32)


def _build_hull(at: Axes, cerebellum: Array, stem: Array) -> Array:
    """Return the distance to the envelope of the whole brain, positive inside."""
    flattened = Axes(at.x, at.y, np.where(at.z < 2, 2 + (at.z - 2) * 2.1, at.z))
    cerebrum = _build_ellipsoid(flattened, (0, 0, 2), (67, 86, 70), power=2.2)
    temporal = _build_ellipsoid(_mirror(at), (37, 2, -24), (27, 42, 25))
    outside = _blend(_blend(cerebrum, temporal, 7.0), _blend(cerebellum, stem, 5.0), 5.0)
    return np.asarray(-outside, np.float32)


def _blend(first: Array, second: Array, reach_mm: float) -> Array:
    """Return the smooth minimum of two distances."""
    overlap = np.maximum(reach_mm - np.abs(first - second), 0) / reach_mm
    return np.asarray(np.minimum(first, second) - overlap**2 * np.float32(reach_mm / 4))


def _compute_fissure_distance(at: Axes, cerebellum: Array, stem: Array) -> Array:
    """Return the distance to the open fissures: between the hemispheres, over the insula, under the tentorium."""
    lateral = np.abs(at.x)
    callosum = _build_ellipsoid(at, (0, -6, -4), (1000, 46, 31))
    bridged = np.maximum(-np.minimum(np.minimum(callosum, cerebellum), stem), 0)
    between = np.hypot(at.x, bridged) - 0.7
    beside = np.maximum(np.abs(at.y - 4) - 28, 0)
    sylvian = np.sqrt((at.z + 4 - 0.25 * (at.y + 10)) ** 2 + np.maximum(40 - lateral, 0) ** 2 + beside**2) - 1.2
    insula = (
        np.sqrt((lateral - 41 + 0.01 * (at.y - 4) ** 2) ** 2 + np.maximum(np.abs(at.z - 2) - 8, 0) ** 2 + beside**2)
        - 1.0
    )
    tentorium = np.hypot(cerebellum - 0.5, np.maximum(-stem, 0)) - 0.8
    return np.asarray(np.minimum.reduce([between, sylvian, insula, tentorium]), np.float32)


def _compute_depth(hull: Array) -> Array:
    """Return the depth below the envelope, exact far from it and smooth near it."""
    depth = ndimage.distance_transform_edt(hull > 0, sampling=PITCH_MM)
    return np.asarray(ndimage.gaussian_filter(depth, 0.8) - PITCH_MM / 2, np.float32)


def _build_folds(rng: np.random.Generator, axes: Axes, pial: Array, inward: Array) -> Array:
    """Return the signed distance to the sulci: zero crossings of noise that is constant along the surface normal."""
    noise = smooth_noise(rng, axes.shape, 5.6)
    index = np.indices(axes.shape, dtype=np.float32)
    index -= (0.8 / PITCH_MM) * np.clip(pial, 0, 24) * inward
    carried = ndimage.map_coordinates(noise, index, order=1, mode="nearest")
    slope = np.sqrt(sum(part**2 for part in np.gradient(carried, PITCH_MM)))
    return np.asarray(carried / np.maximum(ndimage.gaussian_filter(slope, 2.0), 0.06), np.float32)


def _build_folia(rng: np.random.Generator, at: Axes) -> Array:
    """Return the signed distance to the folia of the cerebellum, exaggerated because its fissures are thin."""
    way = np.hypot(at.y + 30, at.z + 30) + 0.03 * np.hypot(at.x, 10) ** 1.6
    way = way + 1.2 * smooth_noise(rng, at.shape, 8.0)
    return np.asarray(1.6 * (np.sin(2 * np.pi * way / 9.0) * (9.0 / (2 * np.pi)) + 0.4), np.float32)
