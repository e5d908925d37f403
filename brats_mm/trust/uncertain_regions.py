"""Uncertain regions: the largest connected components where the model is unsure whether tissue belongs to a region.

A voxel is uncertain if a region's probability is from 0.25 to 0.75, which is an entropy of at least 0.56 nats (the
maximum is ln 2 = 0.69). Every outline is a thin shell of uncertain voxels, which would connect all components. So the
uncertain mask is opened with a ball of 3 mm radius: shells thinner than 6 mm vanish, and components joined only by a
shell are separated.

The opening runs on voxels of about 2 mm, which is fine enough for this ball. Volume and entropy are computed on the
original grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, generate_binary_structure, label

from brats_mm.domain.entropy import binary_entropy
from brats_mm.domain.label_map import Mask
from brats_mm.domain.prediction import RANGE_PROBABILITIES
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.resample import find_bounding_box
from brats_mm.domain.volume import Array, Grid

MAX_REGIONS = 10
BALL_MM = 3.0
"""Radius of the structuring element."""

MEANING = (
    "Connected components where a region's probability is from 0.25 to 0.75 and into which a ball of 3 mm radius fits, "
    "so that thin outlines do not count. Ordered by volume times mean entropy. The position is the voxel farthest from "
    "certain tissue. The volume is that of the uncertain voxels."
)

_WORKING_MM = 2.0
_TOUCH_26 = generate_binary_structure(3, 3)

_Numbers = npt.NDArray[np.int32]
_Index = tuple[int, int, int]
_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class UncertainRegion:
    """One uncertain component.

    Attributes:
        region: region with high entropy.
        voxel: 0-based index of the voxel farthest from certain tissue. Ties go to the most uncertain voxel.
        position_mm_ras: its centre in patient coordinates, right-anterior-superior, in millimetres.
        volume_ml: volume of the uncertain voxels.
        mean_entropy_nats, peak_entropy_nats: entropy of the region over those voxels, 0 to ln 2.
        also: other regions that are uncertain at the same position.
    """

    region: Region
    voxel: _Index
    position_mm_ras: tuple[float, float, float]
    volume_ml: float
    mean_entropy_nats: float
    peak_entropy_nats: float
    also: tuple[Region, ...] = ()

    @property
    def weight(self) -> float:
        """Total uncertainty in nats times millilitres."""
        return self.volume_ml * self.mean_entropy_nats


def find_uncertain_regions(
    probabilities: Mapping[Region, Array], grid: Grid, *, most: int = MAX_REGIONS
) -> tuple[UncertainRegion, ...]:
    """Return the uncertain components of all regions, largest weight first, merged across regions.

    Args:
        probabilities: region -> probability in [0, 1], of the grid's shape.
        grid: any orientation and spacing.
        most: maximum number of components.
    """
    components = {region: _find_components(probabilities[region], grid) for region in REGIONS}
    areas = [
        area
        for region, labelled in components.items()
        for area in _measure_areas(region, labelled, probabilities[region], grid)
    ]
    regions: list[UncertainRegion] = []
    for area in sorted(areas, key=lambda area: -area.weight):
        duplicate = next((n for n, previous in enumerate(regions) if _has_overlap(components, area, previous)), None)
        if duplicate is None:
            regions.append(area)
        elif area.region not in (regions[duplicate].region, *regions[duplicate].also):
            regions[duplicate] = replace(regions[duplicate], also=(*regions[duplicate].also, area.region))
    return tuple(regions[:most])


@dataclass(frozen=True, eq=False)
class _Components:
    """A region's components, labelled from 1 inside a box of the grid, and each voxel's distance to certain tissue."""

    box: tuple[slice, slice, slice]
    numbers: _Numbers
    depth_mm: Array
    count: int

    def get_label(self, voxel: _Index) -> int:
        """Return the label at a voxel, 0 for none."""
        inside = tuple(index - side.start for index, side in zip(voxel, self.box, strict=True))
        if all(0 <= index < size for index, size in zip(inside, self.numbers.shape, strict=True)):
            return int(self.numbers[inside])
        return 0


def _find_components(probability: Array, grid: Grid) -> _Components:
    steps = [max(1, round(_WORKING_MM / spacing)) for spacing in grid.spacing_mm]
    box = _find_box(probability, steps)
    component = _find_uncertain(probability[box])
    coarse = _downsample(component, steps)
    spacing_mm = [spacing * step for spacing, step in zip(grid.spacing_mm, steps, strict=True)]
    depth_mm = np.asarray(distance_transform_edt(coarse, sampling=spacing_mm), np.float32)
    # Depth is measured between voxel centres. Certain tissue begins half a voxel earlier.
    centres = depth_mm >= BALL_MM + min(spacing_mm) / 2
    numbers, count = label(centres, _TOUCH_26)
    if not count:
        return _Components(box, np.zeros(component.shape, np.int32), np.zeros(component.shape, np.float32), 0)
    away_mm, nearest = distance_transform_edt(~centres, sampling=spacing_mm, return_indices=True)
    # One voxel more than the radius, because downsampling removes partly covered voxels at the rim.
    numbers = np.where(away_mm <= BALL_MM + min(spacing_mm), numbers[tuple(nearest)], 0)
    return _Components(
        box, _upsample(numbers, steps, component.shape) * component, _upsample(depth_mm, steps, component.shape), count
    )


def _find_uncertain(probability: Array) -> Mask:
    low, high = min(RANGE_PROBABILITIES), max(RANGE_PROBABILITIES)
    return np.asarray((probability >= low) & (probability <= high))


def _find_box(probability: Array, steps: list[int]) -> tuple[slice, slice, slice]:
    """Return a box around all components, found on subsampled voxels. Components are too thick to be missed."""
    sampled = find_bounding_box(_find_uncertain(probability[tuple(slice(None, None, step) for step in steps)]))
    x, y, z = (
        slice(max((side.start - 2) * step, 0), min((side.stop + 2) * step, size))
        for side, step, size in zip(sampled, steps, probability.shape, strict=True)
    )
    return x, y, z


def _downsample(mask: Mask, steps: list[int]) -> Mask:
    """Downsample by majority and pad with one block of zeros."""
    padded = np.pad(mask, [(step, step + -size % step) for size, step in zip(mask.shape, steps, strict=True)])
    i, j, k = steps
    count = np.zeros([size // step for size, step in zip(padded.shape, steps, strict=True)], np.uint16)
    for x, y, z in np.ndindex(i, j, k):
        count += padded[x::i, y::j, z::k]
    return np.asarray(2 * count >= i * j * k)


def _upsample(coarse: npt.NDArray[_Value], steps: list[int], shape: tuple[int, ...]) -> npt.NDArray[_Value]:
    """Invert `_downsample` by repetition, without the padding."""
    fine = coarse[1:-1, 1:-1, 1:-1]
    for axis, step in enumerate(steps):
        fine = fine.repeat(step, axis=axis)
    return np.asarray(fine[tuple(slice(size) for size in shape)])


def _measure_areas(region: Region, components: _Components, probability: Array, grid: Grid) -> list[UncertainRegion]:
    inside = np.flatnonzero(components.numbers)
    numbers = components.numbers.ravel()[inside]
    entropy = binary_entropy(probability[components.box].ravel()[inside])
    depth = components.depth_mm.ravel()[inside]
    order = np.lexsort((-entropy, -depth, numbers))
    areas = []
    for number in range(1, components.count + 1):
        members = order[slice(*np.searchsorted(numbers[order], (number, number + 1)))]
        if not members.size:
            continue
        start = [side.start for side in components.box]
        deepest = np.unravel_index(inside[members[0]], components.numbers.shape)
        x, y, z = (int(index) + first for index, first in zip(deepest, start, strict=True))
        right, anterior, superior = (float(value) for value in (grid.affine @ (x, y, z, 1))[:3])
        areas.append(
            UncertainRegion(
                region=region,
                voxel=(x, y, z),
                position_mm_ras=(right, anterior, superior),
                volume_ml=members.size * grid.voxel_ml,
                mean_entropy_nats=float(entropy[members].mean()),
                peak_entropy_nats=float(entropy[members].max()),
            )
        )
    return areas


def _has_overlap(components: Mapping[Region, _Components], first: UncertainRegion, second: UncertainRegion) -> bool:
    """Return whether components of two regions overlap: one contains the position of the other."""
    if first.region is second.region:
        return False
    both = (components[first.region], components[second.region])
    return any(labelled.get_label(first.voxel) == labelled.get_label(second.voxel) != 0 for labelled in both)
