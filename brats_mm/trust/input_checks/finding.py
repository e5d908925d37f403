"""Outcome of a check of the input."""

from dataclasses import dataclass
from enum import Enum


class Check(str, Enum):
    """A check of the input."""

    FLAT = "mask or label map"
    SHAPE = "no whole brain"
    TURN = "turned head"
    FRONT = "front and back"
    SWAP = "swapped sequences"
    GHOST = "ghost of motion"
    SLICES = "thick slices"
    FLUID = "large fluid-filled space"


@dataclass(frozen=True)
class Finding:
    """Outcome of a check.

    Attributes:
        check: the check.
        score: its score. The check's function describes it.
        warning: warning for readers of the results. None if there is nothing to warn about.
    """

    check: Check
    score: float
    warning: str | None = None
