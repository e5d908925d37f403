"""How a scene for 3D Slicer looks: what lies below, how uncertainty lies over it, what is drawn of segments."""

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import Modality

BACKGROUNDS = (Modality.FLAIR, Modality.T1CE, Modality.T2, Modality.T1)
"""Which sequence to look at, the most telling first."""

UNCERTAINTY_NAME = "Uncertainty (nats)"
UNCERTAINTY_WINDOW = (0.0, MAX_COMPARTMENT_NATS)
UNCERTAINTY_SHOWN_FROM = 0.2
"""Below this entropy, in nats, the overlay is hidden: one answer has 95 % or more there."""
UNCERTAINTY_OPACITY = 0.5
COLOUR_MAP = "inferno"
"""Equally far apart to the eye, also without colour vision; a map of matplotlib."""
LEGEND_SIZE, LEGEND_POSITION = (0.1, 0.26), (0.97, 0.9)
"""Small, in the upper right corner of a view, where Slicer writes nothing; shares of the view."""

FILL_OPACITY = 0.0
"""Of segments in slices: outlines alone, so that image and uncertainty stay visible inside."""
OUTLINE_OPACITY = 1.0
SURFACE_OPACITY: dict[str, float] = {"ed": 0.3, "ncr": 1.0, "et": 0.7}
"""Of segments in 3D: what lies inside shows through what lies around it."""
