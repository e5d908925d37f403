"""Assess one segmentation: expected Dice, interval and grade per region, volume intervals, and advice."""

from collections.abc import Mapping
from dataclasses import dataclass

from brats_mm.domain.availability import ALL_AVAILABLE, Availability, sort_modalities
from brats_mm.domain.counting import format_count
from brats_mm.domain.display import format_percents
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import ModelIdentity, Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import GainModel, LightRecord, TrustProfile
from brats_mm.trust.case_dice import (
    Grade,
    advise_on_outline,
    choose_grade,
    collect_estimates,
    find_reliability_warnings,
)
from brats_mm.trust.no_tumour import find_no_tumour_warnings

UNCALIBRATED = (
    "The bundle has no trust profile for these weights. The expected Dice is the model's estimate without "
    "calibration on labelled cases and without intervals."
)

MIN_GAIN = 0.02
"""Minimum gain in Dice to mention in the advice."""


@dataclass(frozen=True)
class RegionTrust:
    """Trustworthiness of a region's outline and volume.

    Attributes:
        estimate: Dice estimated from the probabilities. None if nothing was segmented.
        expected_dice: calibrated estimate. Equal to `estimate` if the model has no profile.
        dice_interval: interval of the Dice. None if the model has no profile.
        grade: traffic light of the expected Dice. None if nothing was segmented.
        volume_interval_ml: interval of the true volume, at most the volume of the brain. None if the model has no
            profile, or if too few cases support it.
        light: how often this grade was wrong on labelled cases. None if the model has no profile.
    """

    estimate: float | None
    expected_dice: float | None
    dice_interval: tuple[float, float] | None
    grade: Grade | None
    volume_interval_ml: tuple[float, float] | None
    light: LightRecord | None = None

    @property
    def action(self) -> str | None:
        """Advice on the outline. None if nothing was segmented."""
        return None if self.grade is None else advise_on_outline(self.grade, self.dice_interval, self.light)


@dataclass(frozen=True)
class SequenceGain:
    """Expected Dice of each region when a missing sequence is added.

    Attributes:
        sequence: the missing sequence.
        before: region -> expected Dice with the available sequences.
        after: region -> expected Dice with the sequence added.
    """

    sequence: Modality
    before: Mapping[Region, float]
    after: Mapping[Region, float]

    @property
    def total(self) -> float:
        """Sum of the gains over regions, which orders the sequences."""
        return sum(self.after[region] - self.before[region] for region in self.before)


@dataclass(frozen=True)
class Assessment:
    """Trustworthiness of a segmentation.

    Attributes:
        regions: region -> trust.
        gains: one per missing sequence, largest total gain first. Empty if no gain is known or no sequence is missing.
        profile: trust profile of the model. None if the bundle has no profile for these weights.
        warnings: all warnings about the result: its input, a head that may have no tumour, and unreliable outlines.
    """

    regions: Mapping[Region, RegionTrust]
    gains: tuple[SequenceGain, ...]
    profile: TrustProfile | None
    warnings: tuple[str, ...] = ()

    @property
    def expected_dice(self) -> dict[Region, float | None]:
        """Expected Dice of each region."""
        return {region: trust.expected_dice for region, trust in self.regions.items()}

    @property
    def advice(self) -> str | None:
        """One sentence about the sequence that would help most. None if no sequence is missing or no gain is known."""
        return format_advice(self.gains)

    @property
    def statement(self) -> str:
        """One or two sentences about the coverage of the intervals."""
        return UNCALIBRATED if self.profile is None else describe_coverage(self.profile)


def assess(prediction: Prediction) -> Assessment:
    """Assess a prediction with its model's profile, or with uncalibrated estimates if the model has none.

    Args:
        prediction: prediction on the grid of its results.

    Returns:
        Expected Dice, intervals and grade of each region, expected gains of missing sequences, and all warnings.
    """
    profile, available = prediction.model.trust, prediction.case.available
    estimates = collect_estimates(prediction)
    regions = {}
    for region in REGIONS:
        estimate, volume_ml = estimates[region], prediction.volume_ml(region)
        expected, interval = estimate, None
        if profile is not None and estimate is not None:
            curve = profile.curves[region]
            expected, interval = curve.expected(estimate), curve.interval(estimate)
        volumes = None
        if profile is not None:
            volumes = profile.volume_interval_ml(
                available, region, volume_ml, expected, largest_ml=prediction.case.brain_ml
            )
        grade = None if expected is None else choose_grade(expected)
        light = None if profile is None or grade is None else profile.lights.get(region, {}).get(grade.value)
        regions[region] = RegionTrust(estimate, expected, interval, grade, volumes, light)
    warnings = _collect_warnings(prediction, regions, profile)
    model = find_gain_model(prediction.model)
    if model is None:
        return Assessment(regions, (), profile, warnings)
    calibrated = {region: trust.expected_dice if profile is not None else None for region, trust in regions.items()}
    gains = estimate_gains(model, available, calibrated, prediction.volume_ml(Region.ET))
    return Assessment(regions, gains, profile, warnings)


def _collect_warnings(
    prediction: Prediction, regions: Mapping[Region, RegionTrust], profile: TrustProfile | None
) -> tuple[str, ...]:
    """Return all warnings. The no-tumour check was fitted with calibrated weights, so it needs a trust profile."""
    estimates = {region: trust.estimate for region, trust in regions.items()}
    doubts = (
        ()
        if profile is None
        else find_no_tumour_warnings(prediction.case.available, estimates, profile.no_tumour_scores)
    )
    expected = {region: trust.expected_dice for region, trust in regions.items()}
    return (*prediction.warnings, *doubts, *find_reliability_warnings(expected))


def find_gain_model(model: ModelIdentity) -> GainModel | None:
    """Return the gains of the trust profile, else those of the model card, or None if the model has neither."""
    if model.trust is not None:
        return model.trust.gains
    if model.expected is None:
        return None
    dice = {
        subset: {region: dice.mean for region, dice in row.items()}
        for subset, row in model.expected.dice.items()
        if all(region in row for region in REGIONS)
    }
    return GainModel(dice, {}, {})


def estimate_gains(
    model: GainModel,
    available: Availability,
    expected: Mapping[Region, float | None] | None = None,
    enhancing_ml: float = 0.0,
) -> tuple[SequenceGain, ...]:
    """Return the expected gain of each missing sequence, largest total first.

    Args:
        model: gains of the labelled cases.
        available: sequences of the case.
        expected: region -> expected Dice of the case. None, as a whole or for a region, uses the subset's mean.
        enhancing_ml: segmented volume of enhancing tumour. Ignored without `expected`.
    """
    if available not in model.dice:
        return ()
    gains = []
    for added in sort_modalities(ALL_AVAILABLE - available):
        before, after = {}, {}
        for region in REGIONS:
            region_expected = None if expected is None else expected[region]
            gain = model.gain(available, added, region, region_expected, enhancing_ml)
            if gain is None:
                break
            before[region] = model.dice[available][region] if region_expected is None else region_expected
            after[region] = min(1.0, max(0.0, before[region] + gain))
        else:
            gains.append(SequenceGain(added, before, after))
    return tuple(sorted(gains, key=lambda gain: -gain.total))


def format_advice(gains: tuple[SequenceGain, ...]) -> str | None:
    """Return one sentence about the sequence that would help most, or None if there are no gains."""
    if not gains:
        return None
    best = gains[0]
    rises = {region: best.after[region] - best.before[region] for region in REGIONS}
    named = [region for region in sorted(REGIONS, key=lambda region: -rises[region]) if rises[region] >= MIN_GAIN]
    if not named:
        return f"No missing sequence is expected to raise the Dice by {100 * MIN_GAIN:.0f} points or more."
    parts = [
        f"of the {region.label} from {format_percents((best.before[region], best.after[region]))}" for region in named
    ]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Adding {best.sequence.label} would raise the expected Dice {listed}."


def describe_coverage(profile: TrustProfile) -> str:
    """Return a sentence about the coverage of the intervals."""
    nominal = f"{100 * profile.coverage:.0f} %"
    cases = format_count(profile.cases, "labelled case")
    if not profile.is_small:
        return f"Intervals have a nominal coverage of {nominal}, calibrated on {cases}."
    if profile.coverage_floor == 0:
        are = "is" if profile.cases == 1 else "are"
        return f"{cases} {are} too few for intervals with {nominal} coverage, so none is given."
    return (
        f"Intervals have a nominal coverage of {nominal}, calibrated on only {cases}. Because "
        f"these are few, the real coverage can be as low as {100 * profile.coverage_floor:.0f} %."
    )
