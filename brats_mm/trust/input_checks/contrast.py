"""Classify the contrast of an image (T1, T1ce, T2 or FLAIR) by its grey values, to detect swapped sequences."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.trust.input_checks.coarse import FRAME_VOXELS, STEP_MM, CoarseImage, Frame, sample_in_frame

PERCENTILES = (0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5)
LIMITS = (-8.0, 12.0)
"""Limit of grey values, in interquartile ranges from the median."""

LOCAL_LIMIT = 4.0
DEPTHS_MM = (5.0, 9.0, 14.0, 22.0, 34.0)
"""Distances from the surface that bound the shells of the brain."""

CLASSES = (10, 30, 50, 70, 90)
"""Percentiles that bound classes of grey values."""

Features = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ContrastModel:
    """Logistic regression of the contrast.

    Attributes:
        weights: (features, 4).
        bias: (4,).
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    def log_likelihoods(self, features: Features) -> npt.NDArray[np.float64]:
        """Return the log probability of each contrast, in channel order, (..., 4)."""
        logits = features @ self.weights + self.bias
        highest = logits.max(axis=-1, keepdims=True)
        return np.asarray(logits - highest - np.log(np.exp(logits - highest).sum(axis=-1, keepdims=True)))


def compute_contrast_features(image: CoarseImage, frame: Frame) -> Features:
    """Return the features that distinguish contrasts.

    The features are a histogram, the depth and edges of grey value classes, and a coarse map that averages left and
    right.
    All values are independent of scale and offset of the image.

    Args:
        image: image with at least 100 voxels of foreground.
        frame: frame of the head.
    """
    inside = image.inside
    low, median, high = np.percentile(image.values[inside], (25, 50, 75))
    scaled = (image.values.astype(np.float64) - median) / max(1e-6, float(high - low))
    values = np.where(inside, np.clip(scaled, *LIMITS), 0)
    head_values, depth = values[inside], STEP_MM * ndimage.distance_transform_edt(inside)[inside]
    shell, member = np.digitize(depth, DEPTHS_MM), np.digitize(head_values, np.percentile(head_values, CLASSES))
    edges = np.sqrt(sum(np.square(np.gradient(values, axis=axis)) for axis in range(3)))[inside]
    local = sample_in_frame(np.clip(values, -LOCAL_LIMIT, LOCAL_LIMIT).astype(np.float32), frame)
    half = FRAME_VOXELS // 2
    local = local.reshape(half, 2, half, 2, half, 2).mean(axis=(1, 3, 5))
    local = ((local + local[::-1]) / 2)[: half // 2]
    return np.concatenate(
        [
            np.percentile(head_values, PERCENTILES),
            [_average(head_values[shell == index]) for index in range(len(DEPTHS_MM) + 1)],
            [_average(edges[member == index]) / max(1e-6, float(edges.mean())) for index in range(len(CLASSES) + 1)],
            [_average(depth[member == index]) / float(depth.max()) for index in range(len(CLASSES) + 1)],
            local.ravel(),
        ]
    )


def _average(values: Features) -> float:
    return float(values.mean()) if values.size else 0.0


@dataclass(frozen=True)
class Assignment:
    """Most likely alternative assignment of contrasts to the images of a case.

    Attributes:
        contrasts: given sequence -> its more likely contrast.
        lead: log likelihood of these contrasts minus that of the given ones.
    """

    contrasts: Mapping[Modality, Modality]
    lead: float


def find_likely_assignment(log_likelihoods: Mapping[Modality, npt.NDArray[np.float64]]) -> Assignment:
    """Return the most likely other assignment of distinct contrasts to images.

    Args:
        log_likelihoods: given sequence -> log probability of each contrast, in channel order.
    """
    modalities = sort_modalities(log_likelihoods)
    totals = {
        assignment: sum(
            float(log_likelihoods[m][other.channel]) for m, other in zip(modalities, assignment, strict=True)
        )
        for assignment in permutations(MODALITIES, len(modalities))
    }
    unchanged = totals.pop(modalities)
    best = max(totals, key=lambda assignment: totals[assignment])
    return Assignment(dict(zip(modalities, best, strict=True)), totals[best] - unchanged)
