"""Synthetic tumour heads: four MR sequences and a label map, created without files and reproducible by seed.

For tests, demonstrations and installation checks without patient images. The images resemble skull-stripped MRI but do
not model disease, so scores on them are meaningless.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from brats_mm.data.phantom.anatomy import Anatomy, build_anatomy, build_coarse_axes, smooth_noise
from brats_mm.data.phantom.sampling import BrainVoxels, find_brain_voxels
from brats_mm.data.phantom.tumour import Tumour, grow_tumour
from brats_mm.domain.label_map import Labels
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Compartment, LabelConvention
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import OptionError

BRATS_SHAPE = (240, 240, 155)
MIN_SIDE = 48

_GREY_MM = 2.9
"""Thickness of the cortex."""

_SEQUENCES: dict[Modality, dict[str, float]] = {
    Modality.T1: {"wm": 850, "gm": 680, "csf": 360, "ncr": 520, "ed": 690, "et": 760, "vessel": 500},
    Modality.T1CE: {"wm": 2200, "gm": 1820, "csf": 850, "ncr": 1150, "ed": 1600, "et": 4300, "vessel": 6500},
    Modality.T2: {"wm": 430, "gm": 590, "csf": 1900, "ncr": 1350, "ed": 980, "et": 760, "vessel": 700},
    Modality.FLAIR: {"wm": 980, "gm": 1260, "csf": 260, "ncr": 1050, "ed": 2150, "et": 1700, "vessel": 500},
}
"""Mean signal of each tissue, of the size that scanners deliver."""

_NOISE = 0.016
"""Standard deviation of the noise relative to white matter."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic tumour head.

    Attributes:
        images: one volume per sequence: integers as float32, skull-stripped, exactly 0 outside the brain.
        labels: label map of `grid.shape` in the BraTS 2023 convention (1 necrosis, 2 oedema, 3 enhancing).
        grid: common grid. Axes run left, posterior and superior, as in BraTS.
    """

    images: Mapping[Modality, Volume]
    labels: Labels
    grid: Grid


@dataclass(frozen=True, eq=False)
class _Tissue:
    """Composition of each brain voxel: fractions by tissue that sum to 1, and the dominant label."""

    fractions: Mapping[str, Array]
    labels: Labels
    texture: Array


def make_phantom(
    seed: int,
    shape: tuple[int, int, int] = BRATS_SHAPE,
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    enhancing: bool = True,
) -> Phantom:
    """Generate a head of about 1.6 litres with a tumour of 40 to 150 mL, scaled down on small grids.

    Args:
        seed: random seed of the head, the tumour and the noise.
        shape: number of voxels per axis, at least 48.
        spacing_mm: distance between voxel centres.
        enhancing: whether the core has an enhancing rim. Otherwise no voxel has label 3.

    Raises:
        OptionError: a side of `shape` is too small.
    """
    if min(shape) < MIN_SIDE:
        raise OptionError(
            f"The shape {shape} is too small for a phantom. Use at least {MIN_SIDE} voxels along each axis."
        )
    rng = np.random.default_rng(seed)
    axes = build_coarse_axes()
    anatomy = build_anatomy(rng, axes)
    tumour = grow_tumour(rng, axes, anatomy, enhancing=enhancing)
    grid = _build_grid(shape, spacing_mm)
    brain = find_brain_voxels(grid, anatomy.hull)
    tissue = _combine_tissue(rng, brain, anatomy, tumour)
    images = {modality: Volume(_render_image(rng, brain, tissue, modality), grid) for modality in Modality}
    return Phantom(images, np.asarray(brain.spread(tissue.labels), np.uint8), grid)


def _build_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    x, y, z = spacing_mm
    affine = np.diag([-x, -y, z, 1.0])
    affine[1, 3] = (shape[1] - 1) * y
    return Grid(shape, affine)


def _combine_tissue(rng: np.random.Generator, brain: BrainVoxels, anatomy: Anatomy, tumour: Tumour) -> _Tissue:
    """Combine healthy tissue and tumour, with borders one voxel wide."""
    softness_mm = 0.6 * max(brain.voxel_mm, 1.0)

    def compute_inside(distance: Array) -> Array:
        return np.asarray(np.clip(0.5 - distance / (2 * softness_mm), 0, 1))

    core, rim = brain.sample(tumour.core), brain.sample(tumour.rim)
    fractions = _build_healthy_tissue(rng, brain, anatomy, core, compute_inside)
    spread = compute_inside(brain.sample(tumour.oedema)) * fractions["wm"]
    fractions["ed"], fractions["wm"] = spread, fractions["wm"] - spread
    in_core, in_necrosis = compute_inside(core), compute_inside(core + rim)
    fractions = {name: fraction * (1 - in_core) for name, fraction in fractions.items()}
    fractions["ncr"], fractions["et"] = in_necrosis, in_core - in_necrosis
    labels = np.zeros(core.shape, np.uint8)
    value_of = LabelConvention.BRATS2023.value_of
    labels[(spread > 0.4) & (core >= 0)] = value_of(Compartment.OEDEMA)
    labels[core < 0] = value_of(Compartment.ENHANCING)
    labels[(core < -rim) & (core < 0)] = value_of(Compartment.NECROSIS)
    texture = brain.sample(smooth_noise(rng, anatomy.hull.shape, 2.5))
    return _Tissue(fractions, labels, texture)


def _build_healthy_tissue(
    rng: np.random.Generator,
    brain: BrainVoxels,
    anatomy: Anatomy,
    core: Array,
    inside: Callable[[Array], Array],
) -> dict[str, Array]:
    """Return fractions of fluid, vessels, grey and white matter. Sulci and ventricles narrow near the tumour's core."""
    pressure = np.exp(-np.maximum(core, 0) / 10)
    pial, fold, reach = (
        brain.sample(anatomy.pial),
        np.abs(brain.sample(anatomy.fold)),
        brain.sample(anatomy.sulcus_reach),
    )
    width = 0.9 * np.clip(1.15 - pial / np.maximum(reach, 1), 0.2, 1) * (1 - 0.8 * pressure)
    to_sulcus = np.hypot(fold, np.maximum(pial - reach, 0)) - width
    surface = np.minimum(pial, to_sulcus)
    stem = inside(brain.sample(anatomy.stem))
    ventricle = inside(brain.sample(anatomy.ventricle) + 4 * pressure)
    csf = np.maximum(inside(surface) * (1 - stem), ventricle)
    rim_mm = 0.2 + 0.9 * brain.sample(smooth_noise(rng, anatomy.hull.shape, 6.0))
    csf = np.maximum(csf, inside(brain.sample(anatomy.hull) - rim_mm))
    grey = np.maximum(inside(surface - _GREY_MM) * (1 - stem), 0.75 * inside(brain.sample(anatomy.nucleus)))
    grey = np.maximum(grey, 0.25 * stem)
    spots = np.clip(2.5 * brain.sample(smooth_noise(rng, anatomy.hull.shape, 1.6)) - 4.2, 0, 1) * (1 - 0.4 * ventricle)
    sinus = np.maximum(inside(brain.sample(anatomy.sinus)), spots)
    vessel = csf * sinus
    return {
        "vessel": vessel,
        "csf": csf - vessel,
        "gm": (1 - csf) * grey,
        "wm": (1 - csf) * (1 - grey),
    }


def _render_image(rng: np.random.Generator, brain: BrainVoxels, tissue: _Tissue, modality: Modality) -> Array:
    """Render a sequence: tissue contrast, texture, coil sensitivity and Rician noise. Integers from 1."""
    signal_of = _SEQUENCES[modality]
    gain = np.float32(rng.uniform(0.8, 1.25))
    signal = sum(fraction * np.float32(signal_of[name]) for name, fraction in tissue.fractions.items())
    sick = tissue.fractions["ncr"] + tissue.fractions["et"] + tissue.fractions["ed"]
    signal = signal * (1 + tissue.texture * (0.015 + 0.07 * sick))
    bias = brain.sample(smooth_noise(rng, brain.coarse_shape, 45.0))
    signal = signal * (1 + 0.05 * bias)
    sigma = np.float32(_NOISE * signal_of["wm"])
    real = signal + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    measured = np.hypot(real, sigma * rng.standard_normal(signal.shape, dtype=np.float32))
    return np.asarray(brain.spread(np.maximum(np.rint(gain * measured), 1).astype(np.float32)), np.float32)
