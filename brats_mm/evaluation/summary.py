"""Summary of an evaluation, accumulated case by case in constant memory."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from brats_mm.domain.availability import SUBSETS, Availability, format_subset
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.evaluation.subset_groups import GROUPS
from brats_mm.evaluation.tables import NUMBERS, SCORES, CaseRow, WeightRow
from brats_mm.metrics import calibration, monotonicity
from brats_mm.metrics.calibration import Reliability, create_empty_reliability
from brats_mm.metrics.case_scores import Rule
from brats_mm.metrics.empty import LESION_PENALTY_MM, PENALTY_MM, SMALL_ENHANCING_VOXELS, EmptyPolicy
from brats_mm.metrics.monotonicity import PairTally, tally_pairs
from brats_mm.metrics.uncertainty import EntropyTable, create_empty_entropy_table
from brats_mm.trust.record import TrustRecord


@dataclass
class RunningMean:
    """Mean and standard deviation by Welford's update. NaN values are ignored.

    Attributes:
        count: number of values.
        mean: mean of the values. 0 if there are none.
    """

    count: int = 0
    mean: float = 0.0
    _spread: float = 0.0

    def add(self, value: float) -> None:
        """Add one value."""
        if math.isnan(value):
            return
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self._spread += step * (value - self.mean)

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1). NaN for fewer than two values."""
        return math.sqrt(self._spread / (self.count - 1)) if self.count > 1 else math.nan


SUMMARY_VERSION = 2

DEFINITIONS = {
    "dice": "Voxels of the label map on the input grid; 0 to 1.",
    "hd95_mm": "Larger of the two directed 95th percentiles of surface distance, millimetres.",
    "lesion_dice": (
        "BraTS 2023: mean over reference lesions of more than 50 mm3 and false-positive components, which count as 0. "
        "Lesions are 26-connected after dilation by 3 voxels."
    ),
    "lesion_hd95_mm": (
        "The same mean of the lesions' HD95, millimetres. Missed lesions and false-positive components count as "
        f"{LESION_PENALTY_MM:.0f} mm."
    ),
    **calibration.DEFINITIONS,
    "error_auroc": (
        "AUROC of entropy for wrong against correct voxels over the case's brain box. A voxel is wrong if "
        "(probability >= 0.5) differs from the reference."
    ),
    "qu_brats": (
        "Mean of the area under the filtered Dice and one minus the areas of the filtered true positives and true "
        "negatives, over entropy thresholds (fraction of ln 2), over the case's brain box."
    ),
    "counterintuitive": monotonicity.DEFINITION,
    "et500": f"Predicted enhancing tumour of fewer than {SMALL_ENHANCING_VOXELS} voxels counts as necrosis.",
    "brain_box": "Smallest box on the input grid that holds every voxel with signal in any of the case's sequences.",
    "means": "Unweighted mean over subsets of the mean over cases.",
}


VoxelTables = tuple[Reliability, EntropyTable]
"""Voxel counts of a region by probability and by entropy."""


@dataclass(frozen=True)
class CaseEvaluation:
    """Results of one case.

    Attributes:
        rows: scores of each subset and region.
        weights: gate weights of each subset.
        trust: figures to fit a trust profile to.
        tables: voxel counts by probability and entropy for each subset and region.
        warnings: warnings about the images, the reference and the predicted label maps.
    """

    rows: tuple[CaseRow, ...] = ()
    weights: tuple[WeightRow, ...] = ()
    trust: tuple[TrustRecord, ...] = ()
    tables: Mapping[Availability, Mapping[Region, VoxelTables]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Summary:
    """Sums over cases. Add each case once, then call `document`."""

    def __init__(self) -> None:
        self.cases = 0
        self._numbers: dict[tuple[str, str, str, str], RunningMean] = defaultdict(RunningMean)
        self._weights: dict[tuple[str, str, str], RunningMean] = defaultdict(RunningMean)
        self._pairs: dict[tuple[str, str], PairTally] = defaultdict(PairTally)
        self._reliability: dict[tuple[Availability, Region], Reliability] = defaultdict(create_empty_reliability)
        self._entropy: dict[tuple[Availability, Region], EntropyTable] = defaultdict(create_empty_entropy_table)

    def add_case(self, case: CaseEvaluation) -> None:
        """Add all rows and voxel tables of one case."""
        self.cases += 1
        for subset, by_region in case.tables.items():
            for region, (calibrated, entropy) in by_region.items():
                self._reliability[subset, region] += calibrated
                self._entropy[subset, region] += entropy
        for row in case.rows:
            for name in NUMBERS:
                self._numbers[row.subset, row.region, row.rule, name].add(getattr(row, name))
        for weight in case.weights:
            self._weights[weight.subset, weight.modality, weight.region].add(weight.weight)
        for rule in Rule:
            for region in REGIONS:
                dice = {
                    row.subset: row.dice for row in case.rows if (row.rule, row.region) == (rule.value, region.value)
                }
                dice_by_subset = {
                    subset: dice[format_subset(subset)] for subset in SUBSETS if format_subset(subset) in dice
                }
                self._pairs[rule.value, region.value] += tally_pairs(dice_by_subset)

    def document(
        self,
        *,
        model: ModelIdentity,
        policy: EmptyPolicy,
        failed: Mapping[str, str],
        warnings: Mapping[str, Sequence[str]],
        description: str,
    ) -> dict[str, Any]:
        """Return the content of `summary.json`.

        Args:
            model: identity of the model.
            policy: scoring of empty regions.
            failed: reason for each failed case, by name.
            warnings: warnings about each scored case that has any, by name.
            description: how the model was run.
        """
        subsets = [subset for subset in SUBSETS if self._has_scores(subset)]
        return {
            "summary_version": SUMMARY_VERSION,
            "disclaimer": NOT_FOR_DIAGNOSIS,
            "cases": self.cases,
            "failed": failed,
            "warnings": {name: list(lines) for name, lines in warnings.items()},
            "model": model.document(),
            "way": description,
            "empty_policy": {"name": policy.value, "sentence": policy.sentence, "hd95_penalty_mm": PENALTY_MM},
            "definitions": DEFINITIONS,
            "means": {
                rule.value: {
                    name: self._average_sets(rule, [subset for subset in group if subset in subsets])
                    for name, group in GROUPS.items()
                }
                for rule in Rule
            },
            "sets": {
                format_subset(subset): {rule.value: self._average_scores(rule, subset) for rule in Rule}
                for subset in subsets
            },
            "counterintuitive": {
                rule.value: {region.value: _describe_tally(self._pairs[rule.value, region.value]) for region in REGIONS}
                for rule in Rule
            },
            "calibration": {region.value: self._compute_calibration(region, subsets) for region in REGIONS},
            "uncertainty": {region.value: self._compute_uncertainty(region, subsets) for region in REGIONS},
            "gate_weights": self._list_gate_weights(subsets),
        }

    def _has_scores(self, subset: Availability) -> bool:
        return any((subset, region) in self._reliability for region in REGIONS)

    def _look_up_mean(self, subset: Availability, region: Region, rule: Rule, name: str) -> RunningMean:
        return self._numbers[format_subset(subset), region.value, rule.value, name]

    def _average_sets(self, rule: Rule, subsets: Sequence[Availability]) -> dict[str, Any]:
        return {
            region.value: {
                "sets": len(subsets),
                **{
                    name: _average(self._look_up_mean(subset, region, rule, name) for subset in subsets)
                    for name in NUMBERS
                },
            }
            for region in REGIONS
        }

    def _average_scores(self, rule: Rule, subset: Availability) -> dict[str, Any]:
        names = NUMBERS if rule is Rule.RAW else SCORES
        by_region = {
            region: {name: self._look_up_mean(subset, region, rule, name) for name in names} for region in REGIONS
        }
        return {
            region.value: {
                name: {"mean": score.mean if score.count else None, "std": score.std, "cases": score.count}
                for name, score in scores.items()
            }
            for region, scores in by_region.items()
        }

    def _compute_calibration(self, region: Region, subsets: Sequence[Availability]) -> dict[str, Any]:
        """Compute calibration over the pooled voxels of all cases, per subset and over all subsets."""
        pooled = create_empty_reliability()
        sets = {}
        for subset in subsets:
            table = self._reliability[subset, region]
            pooled += table
            sets[format_subset(subset)] = {"ece": table.ece, "sce": table.sce, "class_ece": table.class_ece}
        return {
            "pooled": {"ece": pooled.ece, "sce": pooled.sce, "class_ece": pooled.class_ece},
            "pooled_sets": sets,
            "curve": pooled.curve(),
        }

    def _compute_uncertainty(self, region: Region, subsets: Sequence[Availability]) -> dict[str, Any]:
        """Compute uncertainty scores over the pooled voxels of all cases and subsets."""
        pooled = create_empty_entropy_table()
        for subset in subsets:
            pooled += self._entropy[subset, region]
        curve = pooled.filtered()
        return {
            "pooled": {"error_auroc": pooled.auroc, "qu_brats": curve.score},
            "filtered": {
                "entropy_percent_of_ln2": list(range(101)),
                "dice": curve.dice.tolist(),
                "lost_true_positives": curve.lost_true_positives.tolist(),
                "lost_true_negatives": curve.lost_true_negatives.tolist(),
                "kept": curve.kept.tolist(),
            },
        }

    def _list_gate_weights(self, subsets: Sequence[Availability]) -> dict[str, Any]:
        weights: dict[str, Any] = {format_subset(subset): {} for subset in subsets}
        for (subset, modality, region), weight in self._weights.items():
            weights[subset].setdefault(modality, {})[region] = weight.mean
        return weights


def _average(means: Iterable[RunningMean]) -> float | None:
    values = [mean.mean for mean in means if mean.count]
    return sum(values) / len(values) if values else None


def _describe_tally(tally: PairTally) -> dict[str, float | int]:
    return {
        "rate": tally.rate,
        "rate_tolerance_1_point": tally.rate_above_one_point,
        "worse": tally.worse,
        "pairs": tally.pairs,
        "mean_dice_lost_where_worse": tally.mean_loss,
    }
