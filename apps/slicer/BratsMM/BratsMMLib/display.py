"""Colours of entropy, grey windows and formats of volumes, shared by all outputs.

`display.json` holds the constants. The web page reads the same file, and the 3D Slicer module carries copies of both
files, so this module imports nothing of the library.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

_CONSTANTS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

COLOURS = 256

UNKNOWN_FACTOR = 100
"""A volume is practically unknown if the limits of its interval differ by more than this factor."""

GREY_PERCENTILES: dict[str, tuple[float, float]] = {
    sequence: (low, high) for sequence, (low, high) in _CONSTANTS["grey_percentiles"].items()
}
"""Sequence -> percentiles of the foreground drawn black and white.

The T1ce window prevents enhanced vessels from darkening the brain. The FLAIR window preserves the texture of bright
tumour.
"""


def make_entropy_colours() -> npt.NDArray[np.float64]:
    """Return the (256, 3) colours of entropy, 0 to 255, from nearly black through blue to pale cyan.

    The colours are perceptually uniform, and no hue equals that of a segment, so that outlines stay visible.
    """
    import numpy as np  # imported here to keep the command line fast

    stops = np.array([_parse_colour(colour) for colour in _CONSTANTS["entropy_colours"]], np.float64)
    at = np.linspace(0, len(stops) - 1, COLOURS)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1)


def format_ml(volume_ml: float) -> str:
    """Format millilitres with one decimal, rounding halves up: 0.35 gives 0.4.

    Volumes are first rounded to thousandths as in `report.json`, so that all outputs agree on every value.
    """
    return f"{_round_half_up(round(volume_ml, 3) * 10) / 10:.1f}"


def format_interval_ml(interval_ml: Sequence[float]) -> str:
    """Format an interval of a volume, with a remark if its limits are too far apart for the volume to be known."""
    low, high = interval_ml
    remark = ", not known" if high > UNKNOWN_FACTOR * low else ""
    return f"{format_ml(low)} to {format_ml(high)}{remark}"


def round_percent(share: float) -> int:
    """Return a share as a whole percentage, rounding halves up: 0.285 gives 29.

    Shares are first rounded to ten-thousandths as in `report.json`, so that all outputs agree on every value.
    """
    return _round_half_up(round(share, 4) * 100)


def format_percent(share: float) -> str:
    """Format a share as a percentage."""
    return f"{round_percent(share)} %"


def format_percents(interval: Sequence[float]) -> str:
    """Format an interval of shares as percentages."""
    low, high = interval
    return f"{round_percent(low)} to {format_percent(high)}"


def _round_half_up(value: float) -> int:
    return math.floor(round(value, 6) + 0.5)


def _parse_colour(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
