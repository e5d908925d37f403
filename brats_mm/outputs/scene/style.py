"""Display settings of the 3D Slicer scene."""

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import Modality

BACKGROUNDS = (Modality.FLAIR, Modality.T1CE, Modality.T2, Modality.T1)
"""Background sequences in order of preference."""

UNCERTAINTY_NAME = "Uncertainty (nats)"
UNCERTAINTY_WINDOW = (0.0, MAX_COMPARTMENT_NATS)
UNCERTAINTY_SHOWN_FROM = 0.2
"""Entropy in nats below which the overlay is hidden. One compartment has at least 95 % there."""
UNCERTAINTY_OPACITY = 0.5
LEGEND_SIZE, LEGEND_POSITION = (0.1, 0.26), (0.97, 0.9)
"""Size and position as shares of the view: the upper right corner, which Slicer leaves free."""

FILL_OPACITY = 0.0
"""Segments are drawn as outlines in slices, so that image and uncertainty stay visible."""
OUTLINE_OPACITY = 1.0
SURFACE_OPACITY: dict[str, float] = {"ed": 0.3, "ncr": 1.0, "et": 0.7}
"""Opacity of segments in 3D, lower for outer compartments."""
