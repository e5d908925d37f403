"""Expected performance of a model: its Dice on labelled cases with each subset of sequences."""

from collections.abc import Mapping
from dataclasses import dataclass

from brats_mm.domain.availability import Availability
from brats_mm.domain.regions import Region


@dataclass(frozen=True)
class DiceOverCases:
    """Mean and standard deviation of the Dice over labelled cases, both 0 to 1."""

    mean: float
    std: float


@dataclass(frozen=True)
class ExpectedDice:
    """Dice scores of a model card.

    Attributes:
        cases: number of scored cases, none of them used in training.
        dice: Dice by subset of sequences and region. Subsets that were not scored are absent.
    """

    cases: int
    dice: Mapping[Availability, Mapping[Region, DiceOverCases]]
