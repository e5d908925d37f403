"""Background voxels of an image: one definition for inference, training, pictures and scenes.

Outside the brain, skull-stripped images have one value, 0 in BraTS data. Every other voxel is then foreground, however
dark. Spline resampling, float arithmetic and noise blur that value. A tolerance relative to the intensity range then
separates background from foreground.

The web page has the same rules in `apps/viewer/src/background.ts` and reads the same constants from `display.json`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_CONSTANTS: dict[str, float] = json.loads(Path(__file__).with_name("display.json").read_text(encoding="utf-8"))[
    "background"
]

RANGE_PERCENTILE = _CONSTANTS["range_percentile"]
"""Percentile at the end of the intensity range. It excludes single bright voxels."""

LEAST_TOLERANCE, MOST_TOLERANCE = _CONSTANTS["least_tolerance"], _CONSTANTS["most_tolerance"]
"""Fraction of the intensity range within which a blurred background may vary."""

NOISE_FACTOR = _CONSTANTS["noise_factor"]
"""Tolerance in standard deviations of the background."""

EXACT_SHARE = _CONSTANTS["exact_share"]
"""Nearly-background voxels per foreground voxel up to which the background counts as one exact value.

In 405 BraTS images the largest fraction is 0.015, and 0.11 for z-scores within the brain. After a slight blur it is
0.4, after a shift with cubic splines 3.3, with float noise 4.5.
"""

EXACT_OF_BACKGROUND = _CONSTANTS["exact_of_background"]
"""Nearly-background voxels per exact background voxel up to which the background counts as exact.

The largest fraction is 0.02 for z-scores within the brain in a whole field of view. After a slight blur it is 0.11.
"""

MAX_NOISE = 0.02
"""Standard deviation, as a fraction of the intensity range, above which the background is the air of a raw scan."""

OUTLIER_FACTOR = 10.0
"""Foreground beyond this many intensity ranges is an artefact. In 405 BraTS images the maximum is 4."""

ONE_SIDED_SHARE = _CONSTANTS["one_sided_share"]
"""Foreground is on one side of the background when less than this fraction of it is on the other side."""

INVERTED_SHARE = 0.95
"""Minimum fraction of foreground darker than the background for which the contrast counts as inverted."""

ZERO_SHARE = _CONSTANTS["zero_share"]
"""Minimum fraction of exact zeros for which 0 counts as background if the corners disagree."""

_SAMPLED_SIDE = _CONSTANTS["sampled_side"]


@dataclass(frozen=True)
class Background:
    """Background of one image.

    Attributes:
        value: intensity of the background.
        tolerance: voxels within this distance of `value` are background. 0 for an exact background.
        scale: intensity range: 99th percentile of the distance to `value`.
        noise: standard deviation of a noisy background as a fraction of `scale`. 0 for an exact background.
        below: fraction of the foreground that is darker than `value`.
    """

    value: float
    tolerance: float
    scale: float
    noise: float
    below: float

    @property
    def is_exact(self) -> bool:
        """Whether the background is one value."""
        return self.tolerance == 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether the background is as even as in a skull-stripped image."""
        return self.noise <= MAX_NOISE

    @property
    def is_inverted(self) -> bool:
        """Whether nearly all foreground is darker than the background."""
        return self.below >= INVERTED_SHARE


def find_background(data: Array) -> Background:
    """Find the background of an image. Non-finite voxels are ignored.

    Large images are subsampled by two along each axis.
    """
    sample = data[tuple(slice(None, None, 2 if side >= _SAMPLED_SIDE else 1) for side in data.shape)]
    finite = sample[np.isfinite(sample)] if not _is_all_finite(sample) else sample.ravel()
    value = _choose_value(data, finite)
    distance = np.abs(finite - np.float32(value))
    scale = float(np.percentile(distance, RANGE_PERCENTILE)) if distance.size else 0.0
    if scale == 0.0:  # foreground fills less than a hundredth of the image
        scale = float(distance.max(initial=0.0))
    if scale == 0.0:  # an image of one value
        return Background(0.0, 0.0, abs(value), 0.0, 0.0)
    tolerance = LEAST_TOLERANCE * scale
    strong = distance > tolerance
    count = max(1, int(np.count_nonzero(strong)))
    nearly = int(np.count_nonzero(distance)) - int(np.count_nonzero(strong))
    exact = distance.size - int(np.count_nonzero(distance))
    below = int(np.count_nonzero(finite < value - tolerance)) / count
    if nearly <= EXACT_SHARE * count or nearly <= EXACT_OF_BACKGROUND * exact:
        return Background(value, 0.0, scale, 0.0, below)
    near = distance[(distance > 0) & (distance <= MOST_TOLERANCE * scale)]
    # Estimated from the median absolute deviation, assuming a normal distribution.
    noise = 1.4826 * float(np.median(near)) / scale
    tolerance = float(np.clip(NOISE_FACTOR * noise, LEAST_TOLERANCE, MOST_TOLERANCE)) * scale
    return Background(value, tolerance, scale, noise, below)


def find_foreground(data: Array, background: Background | None = None) -> Mask:
    """Return the mask of the voxels that are not background.

    Around a blurred background, splines overshoot to the other side: where foreground is brighter, darker voxels are
    background at any distance, and vice versa.
    """
    rule = background or find_background(data)
    value = np.float32(rule.value)
    if rule.is_exact:
        mask = data != value
    elif rule.below < ONE_SIDED_SHARE:
        mask = data > value + np.float32(rule.tolerance)
    elif rule.below > 1 - ONE_SIDED_SHARE:
        mask = data < value - np.float32(rule.tolerance)
    else:
        mask = np.abs(data - value) > np.float32(rule.tolerance)
    return mask if _is_all_finite(data) else np.asarray(mask & np.isfinite(data))


def remove_background(data: Array, background: Background | None = None) -> Array:
    """Return the image with a background of exactly 0 and without outliers. Other voxels keep their difference from it.

    Args:
        data: grey values, any shape.
        background: its background. None detects it.

    Returns:
        `data` itself if its background is already exactly 0.
    """
    rule = background or find_background(data)
    clean = data
    if not (rule.is_exact and rule.value == 0 and _is_all_finite(data)):
        clean = np.where(find_foreground(data, rule), data - np.float32(rule.value), np.float32(0))
    return limit_outliers(clean, OUTLIER_FACTOR * rule.scale)


def limit_outliers(data: Array, limit: float) -> Array:
    """Clip to [-limit, limit]. Returns the same array if nothing exceeds the limits."""
    if limit <= 0 or (float(data.max(initial=0.0)) <= limit and float(data.min(initial=0.0)) >= -limit):
        return data
    return np.clip(data, np.float32(-limit), np.float32(limit))


def _choose_value(data: Array, finite: Array) -> float:
    """Return the value of the corners if they agree, else 0 if the image has zeros, else the median of the corners."""
    corners = _select_corners(data)
    corners = corners[np.isfinite(corners)]
    if corners.size and (corners == corners.flat[0]).all():
        return float(corners.flat[0])
    if not corners.size or np.count_nonzero(finite == 0) >= ZERO_SHARE * finite.size:
        return 0.0
    sides = [max(1, side // 16) for side in data.shape]
    blocks = [
        data[tuple(slice(0, n) if low else slice(-n, None) for n, low in zip(sides, lows, strict=True))].ravel()
        for lows in np.ndindex(2, 2, 2)
    ]
    return float(np.nanmedian(np.concatenate(blocks)))


def _select_corners(data: Array) -> Array:
    return data[tuple(slice(None, None, max(1, side - 1)) for side in data.shape)]


def _is_all_finite(data: Array) -> bool:
    """Return whether all voxels are finite. NaN propagates through minimum and maximum."""
    return bool(np.isfinite(data.min(initial=0.0)) and np.isfinite(data.max(initial=0.0)))
