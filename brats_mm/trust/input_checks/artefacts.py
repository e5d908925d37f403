"""Check images for ghosts of motion, thick slices, and a large fluid-filled space, such as a cavity after surgery.

`docs/trust.md` explains scores and thresholds. `benchmarks/artefacts.py` measures how often the checks are right.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from brats_mm.domain.availability import describe, sort_modalities
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Array, Volume
from brats_mm.trust.input_checks.coarse import sample_coarse_image
from brats_mm.trust.input_checks.finding import Check, Finding

ARTEFACTS = (Check.GHOST, Check.SLICES, Check.FLUID)

MIN_GHOST_SCORE = 40.0
"""Smallest score of a ghost, in standard deviations."""

MAX_THICK_SHARPNESS = 0.25
"""Largest sharpness of thick slices, relative to the other axes."""

MIN_FLUID_MM = 10.5
"""Smallest radius of a space to warn about."""

_MIN_VOXEL_MM, _MAX_VOXEL_MM = 0.8, 1.25
"""Voxel sizes at which scores of fine structure are comparable."""

_SLAB_VOXELS = 40
_MIN_DISTANCE_MM, _MAX_DISTANCE_MM, _MAX_SIDEWAYS_MM = 25, 110, 6
_EDGE_VOXELS = 3
_MIN_OVERLAP = 2000
_FLUID_STEP_MM = 2.0
_FLUID: Mapping[Modality, tuple[float, float]] = {
    Modality.T1: (-np.inf, 0.6),
    Modality.T1CE: (-np.inf, 0.6),
    Modality.T2: (1.5, np.inf),
    Modality.FLAIR: (-np.inf, 0.6),
}
"""Grey values of fluid, relative to the median of the brain."""


def check_artefacts(volumes: Mapping[Modality, Volume]) -> tuple[Finding, ...]:
    """Check skull-stripped images of a brain on one grid. Takes about 0.5 s for four sequences.

    Args:
        volumes: sequences of a case.

    Returns:
        One finding per check that applies, with the worst score of all images.
    """
    ghosts = _drop_unknown({modality: compute_ghost_score(volumes[modality]) for modality in sort_modalities(volumes)})
    sharpness = _drop_unknown(
        {modality: measure_slice_sharpness(volumes[modality]) for modality in sort_modalities(volumes)}
    )
    radius_mm = measure_fluid_radius_mm(volumes)
    findings = []
    if ghosts:
        named = [modality for modality, score in ghosts.items() if score > MIN_GHOST_SCORE]
        findings.append(Finding(Check.GHOST, max(ghosts.values()), _format_ghost_warning(named) if named else None))
    if sharpness:
        named = [modality for modality, score in sharpness.items() if score < MAX_THICK_SHARPNESS]
        findings.append(Finding(Check.SLICES, min(sharpness.values()), _format_slice_warning(named) if named else None))
    if radius_mm is not None:
        warning = _format_fluid_warning(radius_mm) if radius_mm > MIN_FLUID_MM else None
        findings.append(Finding(Check.FLUID, radius_mm, warning))
    return tuple(findings)


def _drop_unknown(scores: Mapping[Modality, float | None]) -> dict[Modality, float]:
    return {modality: score for modality, score in scores.items() if score is not None}


def compute_ghost_score(volume: Volume) -> float | None:
    """Return how strongly fine structure is repeated elsewhere in the axial plane, in standard deviations.

    Motion during a scan adds shifted copies of the head along the phase axis. Edges of anatomy do not repeat at a
    distance, so the autocorrelation of the edges has a peak only for such a copy. The peak is searched 25 to 110 mm
    away, along either axis of the plane.

    Returns:
        Largest autocorrelation times the square root of the number of voxel pairs. None if voxels have no size of about
        1 mm, or if the foreground is too small.
    """
    if not _is_about_1_mm(volume):
        return None
    data, inside = _cut_slab(*_orient_to_ras(volume), axis=2)
    core = ndimage.binary_erosion(inside, iterations=_EDGE_VOXELS)
    if np.count_nonzero(core) < _MIN_OVERLAP:
        return None
    edges = np.clip(ndimage.laplace(data / max(float(data[core].std()), 1e-6)), -1, 1) * core
    edges = (edges - edges[core].mean()) * core
    pairs = np.maximum(_compute_autocorrelation(core.astype(np.float32)), _MIN_OVERLAP)
    scores = _compute_autocorrelation(edges) / np.sqrt(pairs) / max(float((edges[core] ** 2).mean()), 1e-12)
    return max(_find_largest(scores), _find_largest(scores.T))


def measure_slice_sharpness(volume: Volume) -> float | None:
    """Return the sharpness along the blurriest axis, relative to the second blurriest, 0 to 1.

    Sharpness is the mean absolute second difference of neighbouring voxels. Voxels interpolated between thick slices
    lie nearly on a line, so their second difference is small.

    Returns:
        Ratio of the two sharpnesses. None if voxels have no size of about 1 mm, or if the foreground is too small.
    """
    if not _is_about_1_mm(volume):
        return None
    data, inside = _cut_slab(*_orient_to_ras(volume), axis=0)
    core = ndimage.binary_erosion(inside, iterations=2)
    if np.count_nonzero(core) < _MIN_OVERLAP:
        return None
    means = []
    for axis in range(3):
        values, within = np.moveaxis(data, axis, 0), np.moveaxis(core, axis, 0)
        bend = np.abs(values[:-2] - 2 * values[1:-1] + values[2:])
        means.append(float(bend[within[1:-1]].mean()))
    blurriest, second, _ = sorted(means)
    return blurriest / max(second, 1e-12)


def measure_fluid_radius_mm(volumes: Mapping[Modality, Volume]) -> float | None:
    """Return the radius of the largest ball of fluid inside the brain.

    Fluid is dark in T1, T1ce and FLAIR and bright in T2, relative to the median of the brain. Fluid within 6 mm of the
    surface does not count.

    Returns:
        Radius in millimetres. None without a FLAIR or T2, or without a T1 or T1ce, because air, bone, calcification or
        oedema look like fluid in a single contrast.
    """
    if not ({Modality.T1, Modality.T1CE} & volumes.keys() and {Modality.T2, Modality.FLAIR} & volumes.keys()):
        return None
    images = {modality: sample_coarse_image(volume, _FLUID_STEP_MM) for modality, volume in volumes.items()}
    head = np.logical_or.reduce([image.inside for image in images.values()])
    fluid = ndimage.binary_erosion(head, iterations=_EDGE_VOXELS)
    if not fluid.any():
        return None
    for modality, image in images.items():
        low, high = _FLUID[modality]
        relative = image.values / max(float(np.median(image.values[head])), 1e-6)
        fluid &= (relative > low) & (relative < high)
    fluid = ndimage.binary_opening(fluid)
    return float(ndimage.distance_transform_edt(fluid).max()) * _FLUID_STEP_MM if fluid.any() else 0.0


def _is_about_1_mm(volume: Volume) -> bool:
    return all(_MIN_VOXEL_MM <= mm <= _MAX_VOXEL_MM for mm in volume.grid.spacing_mm)


def _orient_to_ras(volume: Volume) -> tuple[Array, Mask]:
    """Return data and foreground with axes in the order right, anterior, superior. Directions do not matter here."""
    order = volume.grid.ras_order
    return volume.data.transpose(order), volume.foreground.transpose(order)


def _cut_slab(data: Array, inside: Mask, axis: int) -> tuple[Array, Mask]:
    """Return the middle of the brain along an axis, which is enough for both scores, cropped to the brain."""
    if not inside.any():
        return data[:0], inside[:0]
    (box,) = ndimage.find_objects(inside.astype(np.uint8))
    middle = (box[axis].start + box[axis].stop) // 2
    cut = list(box)
    cut[axis] = slice(max(0, middle - _SLAB_VOXELS // 2), middle + _SLAB_VOXELS // 2)
    return data[tuple(cut)].astype(np.float32), inside[tuple(cut)]


def _compute_autocorrelation(slices: Array) -> npt.NDArray[np.floating[Any]]:
    """Return the sum over slices of the autocorrelation in the plane, with the zero lag in the middle."""
    shape = [fft.next_fast_len(2 * side, real=True) for side in slices.shape[:2]]
    power = (np.abs(fft.rfft2(slices, shape, axes=(0, 1))) ** 2).sum(axis=2)
    return np.asarray(fft.fftshift(fft.irfft2(power, shape)), np.float32)


def _find_largest(scores: npt.NDArray[np.floating[Any]]) -> float:
    """Return the largest score along the second axis, and up to a few voxels beside it."""
    row, column = scores.shape[0] // 2, scores.shape[1] // 2
    band = scores[
        max(0, row - _MAX_SIDEWAYS_MM) : row + _MAX_SIDEWAYS_MM + 1,
        column + _MIN_DISTANCE_MM : column + _MAX_DISTANCE_MM,
    ]
    return float(band.max()) if band.size else 0.0


def _format_ghost_warning(modalities: Sequence[Modality]) -> str:
    return (
        f"Images with shifted copies of the head, as after motion during the scan: {describe(modalities)}. "
        "Outlines can be wrong where a copy crosses the tumour."
    )


def _format_slice_warning(modalities: Sequence[Modality]) -> str:
    return (
        f"Images that seem to be interpolated from thick slices: {describe(modalities)}. Small parts of the tumour, "
        "and its ends across the slices, can be missing. Compare the outlines with the original slices."
    )


def _format_fluid_warning(radius_mm: float) -> str:
    return (
        f"The brain contains a fluid-filled space with a radius of {radius_mm:.0f} mm: wide ventricles, a cyst, or a "
        "cavity after surgery. The model was not trained on images after surgery. Check the outlines around it."
    )
