"""Appearance of results in Slicer as plain data, tested to be equal in scene files and this module."""

from __future__ import annotations

import math
from dataclasses import dataclass

from BratsMMLib.sequences import Sequence

BACKGROUNDS = (Sequence.FLAIR, Sequence.T1CE, Sequence.T2, Sequence.T1)
"""Preferred sequences for the background, most informative first."""


@dataclass(frozen=True)
class OverlayLook:
    """Appearance of the entropy volume over the image.

    Attributes:
        name: name of the volume and title of the legend.
        window, level: range of the colours, 0 to ln 4 nats.
        shown_from: entropy below this is hidden, in nats.
        shown_to: a value above all possible entropies.
        opacity: opacity of the foreground.
        legend: whether the colour legend is shown.
        legend_size, legend_position: shares of a view.
    """

    name: str = "Uncertainty (nats)"
    window: float = math.log(4)
    level: float = math.log(4) / 2
    shown_from: float = 0.2
    shown_to: float = 2.0
    opacity: float = 0.5
    legend: bool = True
    legend_size: tuple[float, float] = (0.1, 0.26)
    legend_position: tuple[float, float] = (0.97, 0.9)


@dataclass(frozen=True)
class SegmentLook:
    """Appearance of one segment, in the colour of the file."""

    id: str
    surface_opacity: float


@dataclass(frozen=True)
class SegmentationLook:
    """The segments: outlines in slices, surfaces in 3D."""

    name: str = "Tumour segmentation"
    fill_opacity: float = 0.0
    outline_opacity: float = 1.0
    thickness: int = 2
    segments: tuple[SegmentLook, ...] = (SegmentLook("ncr", 1.0), SegmentLook("ed", 0.3), SegmentLook("et", 0.7))


@dataclass(frozen=True)
class PlacesLook:
    """Appearance of the uncertain regions."""

    name: str = "Regions to review"
    colour: tuple[float, float, float] = (1.0, 0.35, 0.9)
    text_scale: float = 2.6
    glyph_scale: float = 2.0


@dataclass(frozen=True)
class Look:
    """Appearance of a result."""

    overlay: OverlayLook = OverlayLook()
    segmentation: SegmentationLook = SegmentationLook()
    places: PlacesLook = PlacesLook()


def choose_background(sequences: set[Sequence]) -> Sequence:
    """Return the available sequence to use as the background."""
    return next(sequence for sequence in BACKGROUNDS if sequence in sequences)
