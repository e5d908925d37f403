"""Decide whether sequences are raw scans or prepared like BraTS data.

The model needs sequences like those of BraTS: on one grid, without skull. The decision uses only voxels and geometry,
and returns the evidence for each conclusion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from brats_mm.domain.availability import Availability, describe, sort_modalities
from brats_mm.domain.lattice import GRID_TOLERANCE, OneGrid, match_lattice, unify_grids
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume

STRIPPED_SHARE = 0.6
"""Maximum fraction of foreground in a skull-stripped volume. Above it, the volume contains skull, neck or air noise."""
CROPPED_SHARE = 0.8
"""Tolerance for a volume cropped to the brain's box, if it is no larger than a brain."""
MAX_BRAIN_ML = 2400.0
"""Larger than any brain, but smaller than a head with its air set to zero."""
MAX_SECTION_CM2 = 225.0
"""Larger than the axial section of any brain, but smaller than that of an adult head.

The largest of 124 BraTS brains has 219 cm2, and a head with skull has 249 cm2. A slab of a head can be smaller than a
brain.
"""


class InputKind(str, Enum):
    """Kind of an input."""

    PREPARED = "prepared"
    RAW = "raw"


@dataclass(frozen=True)
class Recognition:
    """Recognised kind of an input, with the evidence.

    Attributes:
        kind: prepared like BraTS data, or raw.
        evidence: one sentence per check.
        stripped: sequences without skull.
    """

    kind: InputKind
    evidence: tuple[str, ...]
    stripped: Availability


def recognise_kind(
    volumes: Mapping[Modality, Volume], expected: InputKind | None = None, *, tolerance: float = GRID_TOLERANCE
) -> Recognition:
    """Decide whether sequences are prepared, that is on one grid and skull-stripped.

    Args:
        volumes: one volume per sequence.
        expected: kind given by the user. It takes precedence, and the evidence is recorded anyway.
        tolerance: maximum distance between corresponding voxel centres, as a fraction of a voxel.
    """
    together = unify_grids(volumes, tolerance)
    evidence = [_describe_grids(volumes, together, tolerance)]
    stripped = set()
    for modality in sort_modalities(volumes):
        is_stripped, why = detect_stripped(volumes[modality])
        evidence.append(f"{modality.label}: {why}.")
        if is_stripped:
            stripped.add(modality)
    kind = InputKind.PREPARED if together is not None and len(stripped) == len(volumes) else InputKind.RAW
    if expected is not None and expected is not kind:
        evidence.append(f"The input looks {kind.value}, but is treated as {expected.value}, as requested.")
    return Recognition(expected or kind, tuple(evidence), frozenset(stripped))


def _describe_grids(volumes: Mapping[Modality, Volume], together: OneGrid | None, tolerance: float) -> str:
    if len(volumes) == 1:
        return "There is only one sequence, so no registration is needed."
    if together is None:
        distinct: list[Grid] = []
        for modality in sort_modalities(volumes):
            grid = volumes[modality].grid
            if not any(match_lattice(grid, previous, tolerance) for previous in distinct):
                distinct.append(grid)
        if len(distinct) == 1:
            return f"The {len(volumes)} sequences share a lattice, but cover different parts of it."
        return f"The {len(volumes)} sequences have {len(distinct)} different grids."
    if together.moved:
        return (
            f"The {len(volumes)} sequences share a grid. {describe(together.moved)} had another axis order, direction "
            "or crop, which was corrected without interpolation."
        )
    return f"The {len(volumes)} sequences share a grid."


def detect_stripped(volume: Volume) -> tuple[bool, str]:
    """Return whether the skull has been removed, and the evidence as a clause."""
    share, background = volume.foreground_share, f"{1 - volume.foreground_share:.0%} of the voxels are background"
    if not volume.background.is_quiet:
        return False, (
            f"the background varies by {volume.background.noise:.1%} of the intensity range, like air around "
            "a head: with skull"
        )
    if share > CROPPED_SHARE:
        return False, f"{background}: with skull"
    if volume.foreground_ml > MAX_BRAIN_ML:
        return False, (
            f"{background}, but {volume.foreground_ml / 1000:.1f} L are not, more than the volume of a brain: with "
            "skull"
        )
    if not volume.background.is_exact and (section := _measure_widest_section_cm2(volume)) > MAX_SECTION_CM2:
        return False, (
            f"{background}, but the largest axial section has {section:.0f} cm2, more than that of a brain: with skull"
        )
    if share > STRIPPED_SHARE and _reaches_corners(volume):
        return False, f"{background}, and the corners are not: with skull"
    blurred = "" if volume.background.is_exact else " (background with noise)"
    return True, f"{background}, and {volume.foreground_ml / 1000:.2f} L are not: skull-stripped{blurred}"


def _measure_widest_section_cm2(volume: Volume) -> float:
    """Return the largest foreground area of an axial section in square centimetres."""
    grid = volume.grid
    across, along, _ = grid.ras_order
    voxels = int(volume.foreground.sum(axis=(across, along)).max())
    return voxels * grid.spacing_mm[across] * grid.spacing_mm[along] / 100


def _reaches_corners(volume: Volume) -> bool:
    """Return whether a corner voxel is foreground."""
    mask = volume.foreground
    return bool(mask[tuple(slice(None, None, max(1, side - 1)) for side in mask.shape)].any())
