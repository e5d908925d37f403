"""Voxel spacings that a head scan can have."""

from collections.abc import Iterable

MIN_SPACING_MM = 0.05
MAX_SPACING_MM = 50.0


def is_plausible_spacing(spacing_mm: Iterable[float]) -> bool:
    """Return whether all spacings are between the limits. NaN is not."""
    return all(MIN_SPACING_MM <= value <= MAX_SPACING_MM for value in spacing_mm)
