"""Display settings of the 3D Slicer scene."""

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import Modality

BACKGROUNDS = (Modality.FLAIR, Modality.T1CE, Modality.T2, Modality.T1)
"""Background sequences in order of preference."""

UNCERTAINTY_NAME = "Uncertainty (nats)"
UNCERTAINTY_WINDOW = (0.0, MAX_COMPARTMENT_NATS)
UNCERTAINTY_SHOWN_FROM = 0.2
"""Entropy in nats below which the overlay is hidden. Below it, one compartment has a probability of at least 95 %."""
UNCERTAINTY_OPACITY = 0.5
LEGEND_SIZE, LEGEND_POSITION = (0.1, 0.26), (0.97, 0.9)
"""Size and position as fractions of the view. The upper right corner is free in Slicer."""

FILL_OPACITY = 0.0
"""In slices, segments are drawn as outlines to keep image and uncertainty visible."""
OUTLINE_OPACITY = 1.0
SURFACE_OPACITY: dict[str, float] = {"ed": 0.3, "ncr": 1.0, "et": 0.7}
"""Opacity of segments in 3D, lower for outer compartments."""
