"""Distance between two outlines: the 95th percentile Hausdorff distance, in millimetres.

Surface voxels are those with a face towards the outside (the volume's edge counts as outside). Distances run between
voxel centres to the nearest voxel of the other surface. The value is the larger of the two directed 95th percentiles,
linearly interpolated, as in MONAI, whose value this equals; here a reference's surface is kept for all 15 sets, and no
distance map of the volume is made. BraTS servers weigh surface elements by their area, which differs by fractions of a
voxel.
"""

import math

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from brats_mm.domain.resample import bounding_box
from brats_mm.metrics.empty import PENALTY_MM, EmptyPolicy

PERCENTILE = 95.0

Points = Float[np.ndarray, "_ 3"]


def surface_points(mask: Bool[np.ndarray, "h w d"], spacing_mm: tuple[float, float, float]) -> Points:
    """Centres of the mask's surface voxels, in millimetres from the first voxel; none for an empty mask."""
    if not mask.any():
        return np.zeros((0, 3))
    box = bounding_box(mask)
    inner = mask[box]
    index = np.argwhere(inner & ~binary_erosion(inner)) + np.array([side.start for side in box])
    return np.asarray(index * np.asarray(spacing_mm, np.float64))


def hd95_of_surfaces(predicted: Points, reference: Points, policy: EmptyPolicy) -> float:
    """HD95 of two surfaces, in millimetres; NaN where the policy leaves the case out.

    `max(P95 over p of min over r |p - r|, P95 over r of min over p |p - r|)`
    """
    if len(reference) == 0:
        if policy is EmptyPolicy.SKIP:
            return math.nan
        return 0.0 if len(predicted) == 0 else PENALTY_MM
    if len(predicted) == 0:
        return PENALTY_MM
    directed = (_nearest(predicted, reference), _nearest(reference, predicted))
    return max(float(np.percentile(distances, PERCENTILE)) for distances in directed)


def hd95_mm(
    predicted: Bool[np.ndarray, "h w d"],
    reference: Bool[np.ndarray, "h w d"],
    spacing_mm: tuple[float, float, float],
    policy: EmptyPolicy,
) -> float:
    """HD95 of two masks on one grid, in millimetres; NaN where the policy leaves the case out."""
    return hd95_of_surfaces(surface_points(predicted, spacing_mm), surface_points(reference, spacing_mm), policy)


def _nearest(points: Points, others: Points) -> npt.NDArray[np.float64]:
    return np.asarray(cKDTree(others).query(points)[0])
