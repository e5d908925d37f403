"""Predict each case with a trust profile that was fitted to the other cases."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from brats_mm.domain.availability import Availability
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.errors import OptionError
from brats_mm.trust.fit import COVERAGE, MIN_CASES, fit_profile
from brats_mm.trust.gains import KINDS, Gain, collect_gain_data, fit_kind, predict_gains
from brats_mm.trust.record import TrustRecord, group_by_case


@dataclass(frozen=True)
class LeftOutPrediction:
    """Predictions for one segmentation by a profile fitted to the other cases.

    Attributes:
        case: the case's name.
        subset: the sequences used.
        region: region of the segmentation.
        record: true and estimated values.
        expected_dice: calibrated estimate. NaN if nothing was segmented.
        mean_dice: mean Dice of the other cases with these sequences, which a model card quotes.
        dice_interval, volume_interval_ml: intervals. None if too few cases support them.
    """

    case: str
    subset: Availability
    region: Region
    record: TrustRecord
    expected_dice: float
    mean_dice: float
    dice_interval: tuple[float, float] | None
    volume_interval_ml: tuple[float, float] | None


@dataclass(frozen=True)
class LeftOutGain:
    """True and predicted gain of a sequence for a left-out case, and the way of predicting it."""

    case: str
    kind: str
    gain: Gain


@dataclass(frozen=True)
class LeftOut:
    """Predictions for all left-out cases.

    Attributes:
        predictions: one per segmentation.
        gains: one per way of predicting gains (`gains.KINDS` and `fitted`), subset, region and absent sequence.
    """

    predictions: tuple[LeftOutPrediction, ...]
    gains: tuple[LeftOutGain, ...]


FITTED = "fitted"
"""Return the profile's own choice."""


def predict_left_out(records: Sequence[TrustRecord], *, coverage: float = COVERAGE) -> LeftOut:
    """Leave each case out in turn. Needs at least four cases.

    Args:
        records: records of all labelled cases and subsets.
        coverage: nominal coverage of the intervals.

    Raises:
        OptionError: there are too few cases.
    """
    predictions: list[LeftOutPrediction] = []
    gains: list[LeftOutGain] = []
    cases = group_by_case(records)
    if len(cases) <= MIN_CASES:
        raise OptionError(
            f"Leaving cases out needs at least {MIN_CASES + 1} labelled cases, got {len(cases)}. Evaluate more cases."
        )
    for name, case in cases.items():
        other_records = [record for record in records if record.case != name]
        profile, by_case = fit_profile(other_records, coverage=coverage), group_by_case(other_records)
        for (subset, region), record in case.items():
            estimate, curve = record.estimated_dice, profile.curves[region]
            empty = math.isnan(estimate)
            expected = None if empty else curve.expected(estimate)
            predictions.append(
                LeftOutPrediction(
                    case=name,
                    subset=subset,
                    region=region,
                    record=record,
                    expected_dice=math.nan if expected is None else expected,
                    mean_dice=profile.gains.dice.get(subset, {}).get(region, math.nan),
                    dice_interval=None if empty else curve.interval(estimate),
                    volume_interval_ml=profile.volume_interval_ml(subset, region, record.predicted_ml, expected),
                )
            )
        data, case_data = (collect_gain_data(group, profile.curves) for group in (by_case, {name: case}))
        models = {kind: fit_kind(data, dict.fromkeys(REGIONS, kind)) for kind in KINDS}
        for kind, model in {**models, FITTED: profile.gains}.items():
            gains += [LeftOutGain(name, kind, gain) for gain in predict_gains(model, case_data)]
    return LeftOut(tuple(predictions), tuple(gains))
