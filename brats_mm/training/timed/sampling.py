"""Kinds of cases that are drawn at their own frequency."""

import numpy as np

from brats_mm.training.timed.packing import PackedCase

LITTLE_ENHANCEMENT_MM3 = 5000
"""Enhancing tumours below this volume count as small."""


def has_little_enhancement(case: PackedCase) -> bool:
    """Return whether a case at 1 mm has a tumour core with less enhancing tumour than `LITTLE_ENHANCEMENT_MM3`."""
    core, enhancing = (int(np.count_nonzero(case.labels >= value)) for value in (2, 3))
    return core > 0 and enhancing < LITTLE_ENHANCEMENT_MM3
