"""Scale images with extreme grey values, such as 1e-30 or 1e+35, which float32 arithmetic cannot handle."""

import math

import numpy as np

from brats_mm.domain.volume import Array

MIN_PEAK, MAX_PEAK = 1e-2, 1e9
"""Largest absolute grey values that need no scaling. Squares of 1e9 can be summed, and 1e-2 exceeds all guards."""

_NEW_PEAK = 1000.0


def scale_extremes(data: Array) -> tuple[Array, tuple[str, ...]]:
    """Multiply an image by a power of two if its largest absolute value is extreme. The model ignores the scale.

    Returns:
        The voxels, and a note if they were scaled. Images with NaN or infinity are unchanged.
    """
    peak = max(abs(float(data.min())), abs(float(data.max())))
    if not math.isfinite(peak) or peak == 0 or MIN_PEAK <= peak <= MAX_PEAK:
        return data, ()
    power = round(math.log2(_NEW_PEAK / peak))
    scaled = np.ldexp(data, power).astype(np.float32)
    return scaled, (f"the grey values are up to {peak:.3g}, and are multiplied by 2^{power}",)
