"""How results look in Slicer: settings as plain data, so that a scene file and this module look the same (tested)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from BratsMMLib.sequences import Sequence

BACKGROUNDS = (Sequence.FLAIR, Sequence.T1CE, Sequence.T2, Sequence.T1)
"""Which sequence lies below, the most telling first."""


@dataclass(frozen=True)
class OverlayLook:
    """The entropy volume over the image.

    Attributes:
        name: of the volume, and title of the legend.
        window, level: what the colours span: 0 to ln 4 nats.
        shown_from: entropy below this is hidden, in nats.
        shown_to: above everything that there can be.
        opacity: of the foreground.
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
    """One segment; the colour is that of the file."""

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
    """The points to look at twice."""

    name: str = "Uncertain places"
    colour: tuple[float, float, float] = (0.35, 0.85, 1.0)
    text_scale: float = 2.6
    glyph_scale: float = 2.0


@dataclass(frozen=True)
class Look:
    """All of it."""

    overlay: OverlayLook = OverlayLook()
    segmentation: SegmentationLook = SegmentationLook()
    places: PlacesLook = PlacesLook()


def background_of(sequences: set[Sequence]) -> Sequence:
    """Which of the sequences at hand lies below."""
    return next(sequence for sequence in BACKGROUNDS if sequence in sequences)


_STOPS = np.array(
    [
        (0, 0, 4), (10, 7, 34), (30, 12, 69), (56, 9, 98), (81, 14, 108), (105, 22, 110),
        (128, 31, 108), (152, 39, 102), (176, 49, 91), (198, 61, 77), (217, 77, 61), (233, 97, 43),
        (244, 121, 24), (250, 148, 7), (252, 176, 20), (248, 205, 55), (242, 234, 105), (252, 255, 164),
    ],
    np.float64,
)  # fmt: skip
"""Colours of the map inferno (matplotlib, CC0) in equal steps."""


def colours() -> npt.NDArray[np.float64]:
    """(256, 3) colours from 0 to 1, nearly black through red to pale yellow, equally far apart to the eye."""
    at = np.linspace(0, len(_STOPS) - 1, 256)
    channels = [np.interp(at, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1) / 255
