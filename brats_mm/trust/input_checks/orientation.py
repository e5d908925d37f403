"""Check that an image has the shape of a brain, and that its orientation matches the header."""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from brats_mm.domain.label_map import Mask
from brats_mm.domain.volume import Array
from brats_mm.trust.input_checks.coarse import STEP_MM, fit_frame, sample_in_frame

UNCHANGED = (0, 1, 2)


@dataclass(frozen=True)
class Turn:
    """A permutation and flip of axes. Left and right of a brain look alike, so they are never flipped.

    Attributes:
        order: for each axis (right, anterior, superior), the axis of an upright brain along it.
        flipped: whether anterior and posterior, and superior and inferior, are swapped.
    """

    order: tuple[int, int, int] = UNCHANGED
    flipped: tuple[bool, bool] = (False, False)

    def apply(self, upright: Array) -> Array:
        """Turn the image of an upright brain."""
        flips = tuple(axis for axis, flip in zip((1, 2), self.flipped, strict=True) if flip)
        return np.flip(upright, flips).transpose(self.order)

    @property
    def words(self) -> str:
        """Describe the turn."""
        if self.order != UNCHANGED:
            return "turned about another axis"
        pairs = ("front and back", "top and bottom")
        return " and ".join(pair for pair, flip in zip(pairs, self.flipped, strict=True) if flip) + " swapped"


UPRIGHT = Turn()
TURNS = tuple(
    Turn((a, b, c), (back, down))
    for a, b, c in permutations(range(3))
    for back, down in product((False, True), repeat=2)
)


@dataclass(frozen=True)
class Shape:
    """A head compared with the mean brain.

    Attributes:
        likeness: largest correlation with the mean brain, over all turns, -1 to 1.
        turn: the turn with this correlation.
        lead: how much larger this correlation is than that with the upright brain. 0 for an upright head.
        volume_ml: volume of the head.
    """

    likeness: float
    turn: Turn
    lead: float
    volume_ml: float


def measure_shape(inside: Mask, mean_brain: Array) -> Shape:
    """Compare a head with the mean brain in each of the 24 turns that can be distinguished.

    Args:
        inside: the head on a coarse grid. It must not be empty.
        mean_brain: mean of upright brains in the common frame.
    """
    head = sample_in_frame(inside.astype(np.float32), fit_frame(inside))
    likeness = {turn: _correlate(head, turn.apply(mean_brain)) for turn in TURNS}
    best = max(likeness, key=lambda turn: likeness[turn])
    volume_ml = float(np.count_nonzero(inside)) * STEP_MM**3 / 1000
    return Shape(likeness[best], best, likeness[best] - likeness[UPRIGHT], volume_ml)


def _correlate(a: Array, b: Array) -> float:
    x, y = a.ravel() - a.mean(), b.ravel() - b.mean()
    return float(x @ y / max(1e-12, float(np.linalg.norm(x) * np.linalg.norm(y))))
