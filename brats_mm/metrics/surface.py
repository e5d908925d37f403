"""Distance between two outlines: the 95th percentile Hausdorff distance, in millimetres.

Surface voxels are those with a face towards the outside (the volume's edge counts as outside). Distances run between
voxel centres to the nearest voxel of the other surface. The value is the larger of the two directed 95th percentiles,
linearly interpolated, as in MONAI. BraTS servers weigh surface elements by their area, which differs by fractions of a
voxel.
"""

import math

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion, find_objects
from scipy.spatial import cKDTree

from brats_mm.metrics.empty import PENALTY_MM, EmptyPolicy, is_empty

PERCENTILE = 95.0

Points = Float[np.ndarray, "_ 3"]


def surface_points(mask: Bool[np.ndarray, "h w d"], spacing_mm: tuple[float, float, float]) -> Points:
    """Centres of the mask's surface voxels, in millimetres from the first voxel; none for an empty mask."""
    boxes = find_objects(mask.astype(np.uint8))
    if not boxes:
        return np.zeros((0, 3))
    inner = mask[boxes[0]]
    index = np.argwhere(inner & ~binary_erosion(inner)) + np.array([side.start for side in boxes[0]])
    return np.asarray(index * np.asarray(spacing_mm, np.float64))


def hd95_of_points(first: Points, second: Points) -> float:
    """The larger of the two directed 95th percentiles, in millimetres; neither may be empty."""
    there = _nearest(first, second)
    back = _nearest(second, first)
    return max(float(np.percentile(there, PERCENTILE)), float(np.percentile(back, PERCENTILE)))


def hd95_mm(
    predicted: Bool[np.ndarray, "h w d"],
    reference: Bool[np.ndarray, "h w d"],
    spacing_mm: tuple[float, float, float],
    policy: EmptyPolicy,
) -> float:
    """HD95 of two masks on one grid, in millimetres; NaN where the policy leaves the case out."""
    if is_empty(reference):
        if policy is EmptyPolicy.SKIP:
            return math.nan
        return 0.0 if is_empty(predicted) else PENALTY_MM
    if is_empty(predicted):
        return PENALTY_MM
    return hd95_of_points(surface_points(predicted, spacing_mm), surface_points(reference, spacing_mm))


def _nearest(points: Points, others: Points) -> npt.NDArray[np.float64]:
    return np.asarray(cKDTree(others).query(points)[0])
