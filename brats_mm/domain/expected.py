"""What to expect of a model: the Dice that it reached on labelled cases with each subset of sequences."""

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
    """A model card's rows.

    Attributes:
        cases: how many labelled cases were scored; they took no part in the training.
        dice: subset of sequences -> region -> Dice over those cases; a subset that was not scored is absent.
    """

    cases: int
    dice: Mapping[Availability, Mapping[Region, DiceOverCases]]
