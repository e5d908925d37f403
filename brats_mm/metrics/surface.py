"""95th percentile Hausdorff distance (HD95) in millimetres.

Surface voxels have a face towards the outside, and the volume's edge counts as outside. Distances run from voxel centre
to the nearest voxel centre of the other surface. HD95 is the larger of the two directed 95th percentiles, linearly
interpolated. The result equals MONAI's, without a distance map of the whole volume, and the reference surface can be
reused for all 15 subsets. BraTS servers weight surface elements by area, which differs by fractions of a voxel.
"""

import math

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from brats_mm.domain.resample import find_bounding_box
from brats_mm.metrics.empty import PENALTY_MM, EmptyPolicy

PERCENTILE = 95.0

Points = Float[np.ndarray, "_ 3"]


def find_surface_points(mask: Bool[np.ndarray, "h w d"], spacing_mm: tuple[float, float, float]) -> Points:
    """Return the centres (n, 3) of the mask's surface voxels, in millimetres from the first voxel.

    Args:
        mask: (h, w, d) mask.
        spacing_mm: voxel spacing along each axis.
    """
    if not mask.any():
        return np.zeros((0, 3))
    box = find_bounding_box(mask)
    inner = mask[box]
    index = np.argwhere(inner & ~binary_erosion(inner)) + np.array([side.start for side in box])
    return np.asarray(index * np.asarray(spacing_mm, np.float64))


def compute_surface_hd95(predicted: Points, reference: Points, policy: EmptyPolicy) -> float:
    """Return the HD95 of two surfaces in millimetres. NaN if the policy skips the case.

    `max(P95 over p of min over r |p - r|, P95 over r of min over p |p - r|)`

    Args:
        predicted, reference: surface points (n, 3) in millimetres, from `find_surface_points`.
        policy: scoring of empty regions.
    """
    if len(reference) == 0:
        if policy is EmptyPolicy.SKIP:
            return math.nan
        return 0.0 if len(predicted) == 0 else PENALTY_MM
    if len(predicted) == 0:
        return PENALTY_MM
    directed = (_find_nearest_distances(predicted, reference), _find_nearest_distances(reference, predicted))
    return max(float(np.percentile(distances, PERCENTILE)) for distances in directed)


def _find_nearest_distances(points: Points, targets: Points) -> npt.NDArray[np.float64]:
    return np.asarray(cKDTree(targets).query(points)[0])
