"""Whether the sequences of an input are prepared as BraTS data are, or raw scans as they come from a scanner.

The model wants what BraTS has: one grid, the skull taken away. What an input is follows from its voxels and geometry
alone, and each conclusion comes with its evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from brats_mm.domain.availability import Availability, ordered
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume

SAME_GRID_MM = 0.1
"""Corners of two volumes on one grid may lie this far apart: headers round."""
STRIPPED_SHARE = 0.6
"""A volume in which more of the voxels than this differ from the background still has its skull, neck and air noise."""
CROPPED_SHARE = 0.8
"""As much may differ in a volume that was cut to the brain's box, provided that it is no more than a brain."""
LARGEST_BRAIN_ML = 2400.0
"""No brain is larger; a head with its air set to zero is."""


class InputKind(str, Enum):
    """What an input is, or is to be taken for."""

    PREPARED = "prepared"
    RAW = "raw"


@dataclass(frozen=True)
class Recognition:
    """What an input is taken for, and why.

    Attributes:
        kind: prepared as BraTS data are, or raw.
        evidence: a sentence for each thing that was looked at.
        stripped: the sequences whose skull has been taken away.
    """

    kind: InputKind
    evidence: tuple[str, ...]
    stripped: Availability


def recognise_kind(volumes: Mapping[Modality, Volume], wanted: InputKind | None = None) -> Recognition:
    """Whether sequences are prepared: on one grid, and skull-stripped, all of them.

    Args:
        volumes: one volume a sequence.
        wanted: what the user says it is, which then counts; the evidence is told all the same.
    """
    grids = [volumes[modality].grid for modality in ordered(volumes)]
    different = _different(grids)
    evidence = [_grid_sentence(different, len(grids))]
    stripped = set()
    for modality in ordered(volumes):
        bare, why = _is_stripped(volumes[modality])
        evidence.append(f"{modality.label}: {why}.")
        if bare:
            stripped.add(modality)
    kind = InputKind.PREPARED if different == 1 and len(stripped) == len(grids) else InputKind.RAW
    if wanted is not None and wanted is not kind:
        evidence.append(f"This looks {kind.value}, and is taken as {wanted.value} because that was asked for.")
    return Recognition(wanted or kind, tuple(evidence), frozenset(stripped))


def foreground_share(volume: Volume) -> float:
    """Share of voxels that are neither 0 nor, where the background was shifted, the smallest value."""
    data = volume.data
    background = max(np.count_nonzero(data == value) for value in {np.float32(0), data.min()})
    return 1.0 - background / data.size


def on_one_grid(first: Grid, second: Grid) -> bool:
    """Whether two grids are the same but for rounding."""
    return first.shape == second.shape and first.distance_mm(second) <= SAME_GRID_MM


def _different(grids: list[Grid]) -> int:
    seen: list[Grid] = []
    for grid in grids:
        if not any(on_one_grid(grid, other) for other in seen):
            seen.append(grid)
    return len(seen)


def _grid_sentence(different: int, sequences: int) -> str:
    if sequences == 1:
        return "There is one sequence, so nothing is to be brought onto another's grid."
    if different == 1:
        return f"The {sequences} sequences lie on one grid."
    return f"The {sequences} sequences lie on {different} different grids."


def _is_stripped(volume: Volume) -> tuple[bool, str]:
    share = foreground_share(volume)
    foreground_ml = share * volume.grid.voxels * volume.grid.voxel_ml
    background = f"{1 - share:.0%} of the voxels are background"
    if share > CROPPED_SHARE:
        return False, f"{background}, so the skull is still there"
    if foreground_ml > LARGEST_BRAIN_ML:
        return (
            False,
            f"{foreground_ml / 1000:.1f} L are not background, more than a brain has: with skull",
        )
    if share > STRIPPED_SHARE and not _corners_are_one(volume):
        return False, f"{background} and the corners are not, so the skull is still there"
    return True, f"{background}, and {foreground_ml / 1000:.2f} L are not: skull-stripped"


def _corners_are_one(volume: Volume) -> bool:
    data = volume.data
    corners = data[:: max(1, data.shape[0] - 1), :: max(1, data.shape[1] - 1), :: max(1, data.shape[2] - 1)]
    return bool((corners == corners.flat[0]).all())
