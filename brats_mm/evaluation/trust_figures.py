"""Measure the accuracy of a trust profile: all figures of `docs/trust.md`, from the tables of one evaluation.

All figures come from profiles that were fitted without the case in question.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, Availability, format_subset
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import VOLUME_OFFSET_ML, SequenceGroup, find_group
from brats_mm.evaluation.tables import WeightRow
from brats_mm.metrics.monotonicity import PairTally, tally_pairs
from brats_mm.trust.case_dice import Grade, choose_grade
from brats_mm.trust.gains import Gain
from brats_mm.trust.left_out import LeftOut, LeftOutGain, LeftOutPrediction, predict_left_out
from brats_mm.trust.record import CaseRecords, TrustRecord, group_by_case


def compute_spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation over the pairs without NaN. NaN if either side is constant.

    Args:
        a, b: paired values.

    Returns:
        Correlation in [-1, 1].
    """
    pairs = _drop_nan_pairs(a, b)
    if pairs.shape[1] < 2 or (np.ptp(pairs, axis=1) == 0).any():
        return math.nan
    return float(np.corrcoef(rankdata(pairs[0]), rankdata(pairs[1]))[0, 1])


def compute_auroc(score: Sequence[float], positive: Sequence[bool]) -> float:
    """Return the probability that a positive has a higher score than a negative. Ties count one half.

    NaN if there are no positives or no negatives.

    Args:
        score: values to rank.
        positive: whether each value belongs to a positive.

    Returns:
        Area in [0, 1].
    """
    values, labels = _drop_nan_pairs(score, [float(label) for label in positive])
    count = int(labels.sum())
    if not 0 < count < labels.size:
        return math.nan
    above = rankdata(values)[labels == 1].sum() - count * (count + 1) / 2
    return float(above / (count * (labels.size - count)))


def _drop_nan_pairs(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    pairs = np.array([a, b], np.float64).reshape(2, -1)
    return np.asarray(pairs[:, ~np.isnan(pairs).any(axis=0)])


FAILURE = 0.5
"""A Dice below this counts as a failure."""

REVIEW_LIMITS = (0.5, 0.55, 0.6, 0.65)
"""Limits between `unreliable` and `review` that are compared. The first is in use."""

PLOT_BINS = 5

MARGINS = (math.inf, 0.1, 0.05, 0.0)
"""Minimum advantage in expected Dice for which fewer sequences are used. Infinity means never."""


def compute_trust_figures(
    records: Sequence[TrustRecord], weights: Iterable[WeightRow], left_out: LeftOut | None = None
) -> dict[str, Any]:
    """Return all figures of a trust profile.

    Args:
        records: the evaluation's `trust.csv`.
        weights: the evaluation's `gate_weights.csv`.
        left_out: predictions of left-out cases. Computed if not given.

    Raises:
        OptionError: there are fewer than four cases.
    """
    by_case = group_by_case(records)
    left_out, weight_rows = left_out or predict_left_out(records), list(weights)
    return {
        "cases": len(by_case),
        "segmentations": len(left_out.predictions),
        "failure_below": FAILURE,
        "expected_dice": {region.value: _score_expected_dice(_select_region(left_out, region)) for region in REGIONS},
        "expected_dice_by_group": _score_groups(left_out, _score_expected_dice),
        "volume": _score_groups(left_out, _score_volume),
        "volume_all": {region.value: _score_volume(_select_region(left_out, region)) for region in REGIONS},
        "advice": {region.value: _score_advice(left_out.gains, region) for region in REGIONS},
        "importance": {region.value: _score_importance(by_case, weight_rows, region) for region in REGIONS},
        "class_ece": {region.value: _average_class_ece(by_case, region) for region in REGIONS},
        "counterintuitive": {region.value: _count_counterintuitive(by_case, region) for region in REGIONS},
        "fewer_sequences": {region.value: _score_fewer_sequences(left_out, region) for region in REGIONS},
    }


def _score_groups(left_out: LeftOut, score: Callable[[Sequence[LeftOutPrediction]], dict[str, Any]]) -> dict[str, Any]:
    def select_group(group: SequenceGroup, region: Region) -> list[LeftOutPrediction]:
        return [prediction for prediction in _select_region(left_out, region) if find_group(prediction.subset) is group]

    return {
        group.value: {region.value: score(select_group(group, region)) for region in REGIONS} for group in SequenceGroup
    }


def _select_region(left_out: LeftOut, region: Region) -> list[LeftOutPrediction]:
    return [prediction for prediction in left_out.predictions if prediction.region is region]


def _score_expected_dice(predictions: Sequence[LeftOutPrediction]) -> dict[str, Any]:
    """Score the expected Dice of the segmented regions, and for comparison the mean Dice of the model card."""
    scored = [prediction for prediction in predictions if not math.isnan(prediction.expected_dice)]
    true = [prediction.record.dice for prediction in scored]
    failed = [dice < FAILURE for dice in true]
    estimators = {
        "estimate": [prediction.record.estimated_dice for prediction in scored],
        "calibrated": [prediction.expected_dice for prediction in scored],
        "mean_of_subset": [prediction.mean_dice for prediction in scored],
    }
    intervals = [
        (prediction.record.dice, prediction.dice_interval)
        for prediction in scored
        if prediction.dice_interval is not None
    ]
    return {
        "segmentations": len(scored),
        "empty": len(predictions) - len(scored),
        "failures": sum(failed),
        **{
            name: {
                "spearman": compute_spearman(values, true),
                "auroc_failure": compute_auroc([-value for value in values], failed),
                "mean_absolute_error": _average(abs(a - b) for a, b in zip(values, true, strict=True)),
            }
            for name, values in estimators.items()
        },
        "interval": {
            "coverage": _average(low <= dice <= high for dice, (low, high) in intervals),
            "mean_width": _average(high - low for _, (low, high) in intervals),
        },
        "grades": {grade.value: _score_grade(scored, grade) for grade in Grade},
        "limits": [_count_below_limit(scored, limit) for limit in REVIEW_LIMITS],
        "plot": _compute_plot_points(scored),
    }


def _count_below_limit(predictions: Sequence[LeftOutPrediction], limit: float) -> dict[str, Any]:
    """Count the outlines that a limit of `review` would make unreliable, and the failures among them."""
    true = [prediction.record.dice for prediction in predictions if prediction.expected_dice < limit]
    return {
        "limit": limit,
        "unreliable": len(true),
        "failures": sum(dice < FAILURE for dice in true),
        "all_failures": sum(prediction.record.dice < FAILURE for prediction in predictions),
    }


def _score_grade(predictions: Sequence[LeftOutPrediction], grade: Grade) -> dict[str, Any]:
    true = [prediction.record.dice for prediction in predictions if choose_grade(prediction.expected_dice) is grade]
    return {
        "segmentations": len(true),
        "share": len(true) / len(predictions) if predictions else math.nan,
        "mean_dice": _average(true),
        "failures": sum(dice < FAILURE for dice in true),
    }


def _compute_plot_points(predictions: Sequence[LeftOutPrediction]) -> list[dict[str, float]]:
    """Return mean expected and mean true Dice of groups of equal size, ordered by expected Dice."""
    if not predictions:
        return []
    ordered = sorted(predictions, key=lambda prediction: prediction.expected_dice)
    groups = np.array_split(np.arange(len(ordered)), min(PLOT_BINS, len(ordered)))
    return [
        {
            "expected": _average(ordered[index].expected_dice for index in group),
            "true": _average(ordered[index].record.dice for index in group),
            "segmentations": len(group),
        }
        for group in groups
    ]


def _score_volume(predictions: Sequence[LeftOutPrediction]) -> dict[str, Any]:
    intervals = [
        (prediction.record, prediction.volume_interval_ml)
        for prediction in predictions
        if prediction.volume_interval_ml is not None
    ]
    by_case: dict[str, list[bool]] = defaultdict(list)
    for record, (low, high) in intervals:
        by_case[record.case].append(low <= record.reference_ml <= high)
    ratios = [(high + VOLUME_OFFSET_ML) / (record.predicted_ml + VOLUME_OFFSET_ML) for record, (_, high) in intervals]
    means = [float(np.mean(case_scores)) for case_scores in by_case.values()]
    return {
        "segmentations": len(intervals),
        "cases": len(means),
        "coverage": _average(means),
        "standard_error": float(np.std(means, ddof=1) / math.sqrt(len(means))) if len(means) > 1 else math.nan,
        "median_factor": float(np.median(ratios)) if ratios else math.nan,
    }


def _score_advice(gains: Sequence[LeftOutGain], region: Region) -> dict[str, Any]:
    """Score the choice of the most helpful missing sequence, for cases with at least two missing."""
    kinds = list(dict.fromkeys(gain.kind for gain in gains))
    return {
        kind: _score_advice_of_kind([gain for gain in gains if (gain.kind, gain.gain.region) == (kind, region)])
        for kind in kinds
    }


def _score_advice_of_kind(gains: Sequence[LeftOutGain]) -> dict[str, Any]:
    choices: dict[tuple[str, str], list[Gain]] = defaultdict(list)
    for gain in gains:
        choices[gain.case, format_subset(gain.gain.subset)].append(gain.gain)
    right, chance, regret = [], [], []
    for options in (case_gains for case_gains in choices.values() if len(case_gains) > 1):
        advised, most = max(options, key=lambda gain: gain.predicted), max(gain.true for gain in options)
        right.append(advised.true >= most - 1e-12)
        chance.append(1 / len(options))
        regret.append(most - advised.true)
    return {
        "choices": len(right),
        "right": _average(right),
        "chance": _average(chance),
        "mean_dice_lost": _average(regret),
        "mean_absolute_error": _average(abs(gain.gain.true - gain.gain.predicted) for gain in gains),
    }


def _score_importance(
    by_case: Mapping[str, CaseRecords], weights: Sequence[WeightRow], region: Region
) -> dict[str, Any]:
    """Relate gate weights and leave-one-out changes of all four sequences to the value of each sequence."""
    full = format_subset(ALL_AVAILABLE)
    gate = {(row.case, row.modality): row.weight for row in weights if (row.subset, row.region) == (full, region.value)}
    columns: dict[str, list[float]] = defaultdict(list)
    for name, case in by_case.items():
        for modality in MODALITIES:
            all_four = case.get((ALL_AVAILABLE, region))
            without = case.get((ALL_AVAILABLE - {modality}, region))
            single = case.get((frozenset({modality}), region))
            if all_four is None or without is None or single is None:
                continue
            columns["gate_weight"].append(gate.get((name, modality.value), math.nan))
            columns["unimodal_confidence"].append(1 - single.mean_entropy_nats / math.log(2))
            columns["unimodal_dice"].append(single.dice)
            columns["volume_change"].append(_log_change(without.predicted_ml, all_four.predicted_ml))
            columns["dice_lost"].append(all_four.dice - without.dice)
    pairs = {
        "gate_weight_and_unimodal_confidence": ("gate_weight", "unimodal_confidence"),
        "gate_weight_and_unimodal_dice": ("gate_weight", "unimodal_dice"),
        "gate_weight_and_dice_lost": ("gate_weight", "dice_lost"),
        "leave_one_out_and_dice_lost": ("volume_change", "dice_lost"),
    }
    return {
        "pairs": len(columns["gate_weight"]),
        **{name: compute_spearman(columns[a], columns[b]) for name, (a, b) in pairs.items()},
    }


def _log_change(without_ml: float, with_ml: float) -> float:
    return abs(math.log((without_ml + VOLUME_OFFSET_ML) / (with_ml + VOLUME_OFFSET_ML)))


def _average_class_ece(by_case: Mapping[str, CaseRecords], region: Region) -> dict[str, float]:
    region_records = [record for case in by_case.values() for (_, of), record in case.items() if of is region]
    return {
        "before_temperatures": _average(item.class_ece_uncalibrated for item in region_records),
        "after_temperatures": _average(item.class_ece for item in region_records),
    }


def _count_counterintuitive(by_case: Mapping[str, CaseRecords], region: Region) -> dict[str, Any]:
    total = PairTally()
    for case in by_case.values():
        total += tally_pairs({subset: case[subset, region].dice for subset in SUBSETS if (subset, region) in case})
    return {"pairs": total.pairs, "rate": total.rate, "rate_tolerance_1_point": total.rate_above_one_point}


def _score_fewer_sequences(left_out: LeftOut, region: Region) -> dict[str, Any]:
    """Score the use of fewer sequences if their expected Dice is higher by a margin."""
    by_case: dict[str, dict[Availability, LeftOutPrediction]] = defaultdict(dict)
    for prediction in _select_region(left_out, region):
        by_case[prediction.case][prediction.subset] = prediction
    result = {}
    for margin in MARGINS:
        total = PairTally()
        dice: list[float] = []
        for by_subset in by_case.values():
            best = {
                subset: choose_best_answer(by_subset, subset, margin).record.dice
                for subset in SUBSETS
                if subset in by_subset
            }
            total += tally_pairs(best)
            dice += best.values()
        result[str(margin)] = {
            "rate": total.rate,
            "rate_tolerance_1_point": total.rate_above_one_point,
            "mean_dice": _average(dice),
        }
    return result


def choose_best_answer(
    by_subset: Mapping[Availability, LeftOutPrediction], subset: Availability, margin: float
) -> LeftOutPrediction:
    """Return the prediction for the subset, or that for fewer sequences if its expected Dice is higher by the margin.

    A prediction without an outline has no expected Dice. It is neither replaced nor used as a replacement.

    Args:
        by_subset: left-out prediction by subset of sequences.
        subset: subset with all available sequences.
        margin: lead in expected Dice that fewer sequences need, 0 to 1.
    """
    full = by_subset[subset]
    if math.isnan(full.expected_dice) or math.isinf(margin):
        return full
    fewer = [
        prediction
        for other_subset, prediction in by_subset.items()
        if other_subset < subset and not math.isnan(prediction.expected_dice)
    ]
    best = max(fewer, key=lambda prediction: prediction.expected_dice, default=full)
    return best if best.expected_dice > full.expected_dice + margin else full


def collect_reliability_points(left_out: LeftOut) -> dict[Region, list[tuple[float, float]]]:
    """Return expected and true Dice of each segmentation with an outline."""
    return {
        region: [
            (prediction.expected_dice, prediction.record.dice)
            for prediction in _select_region(left_out, region)
            if not math.isnan(prediction.expected_dice)
        ]
        for region in REGIONS
    }


def collect_reliability_means(figures: Mapping[str, Any]) -> dict[Region, list[tuple[float, float]]]:
    """Return mean expected and mean true Dice of each group of a region."""
    return {
        region: [
            (bin_means["expected"], bin_means["true"]) for bin_means in figures["expected_dice"][region.value]["plot"]
        ]
        for region in REGIONS
    }


def _average(values: Iterable[float | bool]) -> float:
    numbers = [float(value) for value in values]
    numbers = [value for value in numbers if not math.isnan(value)]
    return float(np.mean(numbers)) if numbers else math.nan
