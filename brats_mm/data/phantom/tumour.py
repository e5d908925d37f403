"""Synthetic tumour: an irregular core, a rim of uneven thickness, and oedema that spreads through white matter."""

from dataclasses import dataclass

import numpy as np

from brats_mm.data.phantom.anatomy import PITCH_MM, Anatomy, Axes, smooth_noise
from brats_mm.domain.volume import Array

CORE_RADIUS_MM = (13.0, 20.0)
OEDEMA_ML = (20.0, 75.0)


@dataclass(frozen=True, eq=False)
class Tumour:
    """A tumour on the coarse grid, in head millimetres.

    Attributes:
        core: negative inside the core.
        rim: thickness of the enhancing rim, inside which the core is necrotic. 0 without enhancement.
        oedema: negative within the reach of the oedema, which affects white matter only.
    """

    core: Array
    rim: Array
    oedema: Array


def grow_tumour(rng: np.random.Generator, axes: Axes, anatomy: Anatomy, *, enhancing: bool) -> Tumour:
    """Place a tumour in the white matter of one hemisphere, with random position, size and shape."""
    centre = _place(rng, axes, anatomy)
    core = _build_core(rng, axes, centre, float(rng.uniform(*CORE_RADIUS_MM)))
    core = np.maximum(core, np.maximum(1.5 - anatomy.ventricle, 2.0 - anatomy.pial))
    thickness = 3.8 + 1.7 * smooth_noise(rng, axes.shape, 7.0)
    rim = np.maximum(thickness, 1.6) if enhancing else np.zeros_like(core)
    crossing = 1.5 * np.maximum(-np.sign(centre[0]) * axes.x, 0)  # extra distance to the other hemisphere
    oedema = _build_oedema(rng, axes, anatomy, core + np.asarray(crossing, np.float32))
    return Tumour(core.astype(np.float32), rim.astype(np.float32), oedema)


def _place(rng: np.random.Generator, axes: Axes, anatomy: Anatomy) -> tuple[float, float, float]:
    """Draw a point well below the surface, beside the ventricles and above the temporal lobes."""
    fits = (anatomy.pial > 15) & (anatomy.ventricle > 6) & (axes.z > 2) & (np.abs(axes.x) > 20) & (anatomy.stem > 10)
    candidates = np.argwhere(fits)
    i, j, k = candidates[int(rng.integers(len(candidates)))]
    return float(axes.x[i, 0, 0]), float(axes.y[0, j, 0]), float(axes.z[0, 0, k])


def _build_core(rng: np.random.Generator, axes: Axes, centre: tuple[float, float, float], radius_mm: float) -> Array:
    """Return the signed distance to three overlapping ellipsoids with a rough surface."""
    parts = []
    for size in (1.0, 0.75, 0.6):
        shift = rng.normal(0, 0.0 if size == 1.0 else 0.55 * radius_mm, 3)
        half = radius_mm * size * rng.uniform(0.8, 1.2, 3)
        offsets = [axis - c - s for axis, c, s in zip((axes.x, axes.y, axes.z), centre, shift, strict=True)]
        reach = np.sqrt(sum((offset / h) ** 2 for offset, h in zip(offsets, half, strict=True)))
        parts.append((reach - 1) * half.min())
    rough = 1.8 * smooth_noise(rng, axes.shape, 6.0) + 0.8 * smooth_noise(rng, axes.shape, 3.0)
    return np.asarray(np.minimum.reduce(parts) + rough, np.float32)


def _build_oedema(rng: np.random.Generator, axes: Axes, anatomy: Anatomy, core: Array) -> Array:
    """Return an uneven distance from the core, with an offset that gives the oedema its volume in white matter."""
    arrival = core + 6.0 * smooth_noise(rng, axes.shape, 12.0) + 1.2 * smooth_noise(rng, axes.shape, 4.0)
    open_to_it = (np.abs(anatomy.fold) > 3) | (anatomy.pial > anatomy.sulcus_reach + 3)
    open_to_it &= (anatomy.pial > 3) & (anatomy.ventricle > 0.5) & (anatomy.nucleus > 0) & (core > 0)
    levels = np.sort(arrival[open_to_it])
    target_voxels = int(rng.uniform(*OEDEMA_ML) * 1000 / PITCH_MM**3)
    return np.asarray(arrival - levels[min(target_voxels, len(levels) - 1)], np.float32)
