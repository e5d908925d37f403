"""Trust profile of a model, fitted to labelled cases: expected Dice, volume intervals, gains of sequences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from brats_mm.domain.availability import Availability
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region

VOLUME_OFFSET_ML = 1.0
"""Offset in millilitres added to volumes before the logarithm, so that it is defined for empty regions."""


class SequenceGroup(str, Enum):
    """Subsets of sequences that show the same tissue and therefore have similar errors."""

    CONTRAST_AND_FLUID = "contrast+fluid"
    CONTRAST = "contrast"
    FLUID = "fluid"
    NEITHER = "neither"

    @property
    def label(self) -> str:
        """Return the name for display."""
        return _GROUP_LABELS[self]


_GROUP_LABELS = {
    SequenceGroup.CONTRAST_AND_FLUID: "T1ce with T2 or FLAIR",
    SequenceGroup.CONTRAST: "T1ce without T2 and FLAIR",
    SequenceGroup.FLUID: "T2 or FLAIR without T1ce",
    SequenceGroup.NEITHER: "T1 only",
}


def find_group(available: Availability) -> SequenceGroup:
    """Return the group of a subset of sequences."""
    contrast, fluid = Modality.T1CE in available, bool(available & {Modality.T2, Modality.FLAIR})
    if contrast:
        return SequenceGroup.CONTRAST_AND_FLUID if fluid else SequenceGroup.CONTRAST
    return SequenceGroup.FLUID if fluid else SequenceGroup.NEITHER


@dataclass(frozen=True)
class DiceCurve:
    """A monotone map from the estimated to the expected Dice of a region.

    Attributes:
        estimates: ascending estimates, 0 to 1.
        dice: expected Dice at each estimate, 0 to 1, non-decreasing. Linear between estimates, constant beyond both
            ends.
        width: half width of the interval in units of `spread`. None if too few cases support an interval.
    """

    estimates: tuple[float, ...]
    dice: tuple[float, ...]
    width: float | None = None

    def expected(self, estimate: float) -> float:
        """Return the expected Dice for an estimate."""
        return float(np.interp(estimate, self.estimates, self.dice))

    def interval(self, estimate: float) -> tuple[float, float] | None:
        """Return the interval of the Dice for an estimate, clipped to [0, 1], or None if no width was fitted."""
        if self.width is None:
            return None
        middle = self.expected(estimate)
        half = self.width * compute_spread(middle)
        return max(0.0, middle - half), min(1.0, middle + half)


def compute_spread(expected: float) -> float:
    """Return the scale of the Dice's deviation from its expectation: largest at 0.5, small near 0 and 1."""
    return 0.05 + expected * (1 - expected)


def compute_volume_scale(expected: float | None) -> float:
    """Return the largest logarithm of the ratio of two volumes with a Dice of `expected`: log((2 - Dice) / Dice).

    The Dice is clipped to 0.1 to 0.95. An empty segmentation counts as 0.1.
    """
    dice = min(0.95, max(0.1, 0.0 if expected is None else expected))
    return math.log((2 - dice) / dice)


def compute_volume_interval(predicted_ml: float, log_width: float) -> tuple[float, float]:
    """Return the interval of the true volume in millilitres, symmetric on the logarithm of volume plus offset.

    Args:
        predicted_ml: segmented volume in millilitres.
        log_width: half width of the interval of the logarithm.
    """
    middle = math.log(predicted_ml + VOLUME_OFFSET_ML)
    low, high = (math.exp(middle + sign * log_width) - VOLUME_OFFSET_ML for sign in (-1, 1))
    return max(0.0, low), high


@dataclass(frozen=True)
class GainTerm:
    """Difference between the gain of a case and the mean gain from a sequence.

    Attributes:
        per_dice: change of the gain per unit of expected Dice above the mean of the subset.
        per_log_enhancing: change per unit of log(1 + mL of enhancing tumour) above the mean of the subset.
    """

    per_dice: float = 0.0
    per_log_enhancing: float = 0.0


@dataclass(frozen=True)
class GainModel:
    """Expected change of Dice when a sequence is added.

    Attributes:
        dice: subset -> region -> mean Dice of the labelled cases.
        log_enhancing: subset -> mean of log(1 + mL of enhancing tumour).
        terms: region -> added sequence -> term of the case. A missing entry means no term.
    """

    dice: Mapping[Availability, Mapping[Region, float]]
    log_enhancing: Mapping[Availability, float]
    terms: Mapping[Region, Mapping[Modality, GainTerm]]

    def gain(
        self, available: Availability, added: Modality, region: Region, expected: float | None, enhancing_ml: float
    ) -> float | None:
        """Return the expected gain in Dice, or None for subsets without scores.

        Args:
            available: sequences of the case.
            added: a sequence that is not among them.
            region: region of the segmentation.
            expected: expected Dice of the case with its sequences. None uses the mean of the subset.
            enhancing_ml: segmented volume of enhancing tumour.
        """
        more = available | {added}
        if available not in self.dice or more not in self.dice:
            return None
        mean = self.dice[available][region]
        gain = self.dice[more][region] - mean
        term = self.terms.get(region, {}).get(added)
        if term is None or expected is None:
            return gain
        enhancing = math.log1p(enhancing_ml) - self.log_enhancing.get(available, 0.0)
        return gain + term.per_dice * (expected - mean) + term.per_log_enhancing * enhancing


@dataclass(frozen=True)
class LightRecord:
    """Frequency of poor outlines with one traffic light.

    Attributes:
        outlines: labelled outlines with this light. Each light is from a curve fitted to the other cases.
        poor: those with a Dice below 0.5.
    """

    outlines: int
    poor: int


@dataclass(frozen=True)
class TrustProfile:
    """Everything fitted on labelled cases.

    Attributes:
        cases: number of labelled cases.
        coverage: nominal coverage of the intervals, such as 0.9.
        coverage_floor: lower 95 % confidence bound of the coverage, given the number of cases.
        curves: region -> calibration of the estimated Dice.
        volume_widths: group -> region -> half width of the log-volume interval in units of `compute_volume_scale`.
            Missing if too few cases support it.
        gains: expected gains of absent sequences.
        lights: region -> traffic light -> how often it was wrong. Missing for lights that no outline had.
        no_tumour_scores: number of sequences -> score below which a segmentation looks like that of a head without
            tumour (`trust.no_tumour`).
    """

    cases: int
    coverage: float
    coverage_floor: float
    curves: Mapping[Region, DiceCurve]
    volume_widths: Mapping[SequenceGroup, Mapping[Region, float]]
    gains: GainModel
    lights: Mapping[Region, Mapping[str, LightRecord]] = field(default_factory=dict)
    no_tumour_scores: Mapping[int, float] = field(default_factory=dict)

    @property
    def is_small(self) -> bool:
        """Whether too few cases were used to guarantee the nominal coverage within 5 percentage points."""
        return self.coverage_floor < self.coverage - 0.05

    def volume_interval_ml(
        self,
        available: Availability,
        region: Region,
        predicted_ml: float,
        expected: float | None,
        *,
        largest_ml: float = math.inf,
    ) -> tuple[float, float] | None:
        """Return the interval of a region's true volume in millilitres, or None if too few cases support it.

        Args:
            available: sequences of the case.
            region: region of the segmentation.
            predicted_ml: volume of its segmentation.
            expected: expected Dice. None if nothing was segmented.
            largest_ml: largest possible volume, such as that of the brain. Limits the upper end.
        """
        width = self.volume_widths.get(find_group(available), {}).get(region)
        if width is None:
            return None
        low, high = compute_volume_interval(predicted_ml, width * compute_volume_scale(expected))
        return low, min(high, max(predicted_ml, largest_ml))


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
