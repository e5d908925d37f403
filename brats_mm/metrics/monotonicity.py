"""Counter-intuitive rate: how often an additional sequence makes the segmentation worse.

SimMLM reports a rate without defining it. Here it is the fraction of (case, pair) over the 50 pairs of nested subsets
in which the larger subset has the lower Dice. Ties do not count as worse. Pairs without a score are skipped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from brats_mm.domain.availability import NESTED_PAIRS, Availability

DEFINITION = (
    "Fraction of (case, pair) over the 50 pairs of nested availability sets in which the larger set has the lower "
    "Dice. Ties do not count as worse, and pairs without a score are skipped."
)


TOLERANCE = 0.01
"""One point of Dice, which a reader would not notice."""


@dataclass(frozen=True)
class PairTally:
    """Count of nested pairs in which more sequences scored worse. Instances can be added.

    Attributes:
        worse: pairs with Dice(more) < Dice(fewer).
        pairs: pairs with both scores.
        lost_dice: total Dice lost in the `worse` pairs.
        worse_by_a_point: pairs with Dice(more) < Dice(fewer) - TOLERANCE.
    """

    worse: int = 0
    pairs: int = 0
    lost_dice: float = 0.0
    worse_by_a_point: int = 0

    def __add__(self, other: "PairTally") -> "PairTally":
        return PairTally(
            self.worse + other.worse,
            self.pairs + other.pairs,
            self.lost_dice + other.lost_dice,
            self.worse_by_a_point + other.worse_by_a_point,
        )

    @property
    def rate(self) -> float:
        """Counter-intuitive rate in [0, 1]. NaN if there are no pairs."""
        return self.worse / self.pairs if self.pairs else math.nan

    @property
    def rate_above_one_point(self) -> float:
        """Rate of pairs that lose more than TOLERANCE, in [0, 1]. NaN if there are no pairs."""
        return self.worse_by_a_point / self.pairs if self.pairs else math.nan

    @property
    def mean_loss(self) -> float:
        """Mean Dice lost per counter-intuitive pair. 0 if there are no such pairs."""
        return self.lost_dice / self.worse if self.worse else 0.0


def tally_pairs(dice: Mapping[Availability, float]) -> PairTally:
    """Count the counter-intuitive pairs of one case and region. Skip subsets without a score.

    Args:
        dice: Dice by subset, 0 to 1. NaN or absent if the subset was not scored.
    """
    worse, above_one_point, pairs, lost = 0, 0, 0, 0.0
    for more, fewer in NESTED_PAIRS:
        loss = dice.get(fewer, math.nan) - dice.get(more, math.nan)
        if math.isnan(loss):
            continue
        pairs += 1
        above_one_point += loss > TOLERANCE
        if loss > 0:
            worse += 1
            lost += loss
    return PairTally(worse, pairs, lost, above_one_point)
