"""Mean, standard deviation and confidence interval over cases, for the tables of a paper.

The case is the unit of analysis. Its scores are averaged over the subsets of a group first, because the 15 subsets of a
case are not independent observations.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from brats_mm.domain.availability import Availability, format_subset
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError
from brats_mm.evaluation.compare import compute_bootstrap_interval
from brats_mm.evaluation.subset_groups import ALL_GROUPS
from brats_mm.evaluation.tables import NUMBERS, CaseRow
from brats_mm.metrics.case_scores import Rule

_ByCase = Mapping[str, MutableMapping[str, float]]
"""Case -> name of a subset -> score, which can be NaN."""


@dataclass(frozen=True)
class Statistic:
    """A score over cases.

    Attributes:
        evaluation: name of the evaluation.
        sequences: a key of `subset_groups.ALL_GROUPS`.
        region: wt, tc or et.
        rule: raw or et500.
        score: a column of `cases.csv`.
        cases: number of cases with this score.
        mean: mean over cases.
        sd: standard deviation over cases, with n - 1. NaN for one case.
        low, high: percentile bootstrap interval of the mean.
    """

    evaluation: str
    sequences: str
    region: str
    rule: str
    score: str
    cases: int
    mean: float
    sd: float
    low: float
    high: float


def compute_statistics(name: str, rows: Iterable[CaseRow], scores: Sequence[str]) -> list[Statistic]:
    """Compute the statistics of an evaluation.

    Args:
        name: name of the evaluation.
        rows: rows of its `cases.csv`.
        scores: names of scores, such as `dice` and `hd95_mm`.

    Returns:
        A statistic for each group, region, rule and score that has at least one case.

    Raises:
        OptionError: a score is unknown.
    """
    unknown = [score for score in scores if score not in NUMBERS]
    if unknown:
        raise OptionError(f"Unknown scores: {', '.join(unknown)}. Choose from {', '.join(NUMBERS)}.")
    values: dict[tuple[str, str, str], _ByCase] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for score in scores:
            values[row.region, row.rule, score][row.case][row.subset] = getattr(row, score)
    results = []
    for (group, subsets), region, rule, score in product(ALL_GROUPS.items(), REGIONS, Rule, scores):
        means = _average_cases(values[region.value, rule.value, score], subsets)
        if len(means):
            low, high = compute_bootstrap_interval(means, lambda sample: sample.mean(axis=1))
            results.append(
                Statistic(
                    evaluation=name,
                    sequences=group,
                    region=region.value,
                    rule=rule.value,
                    score=score,
                    cases=len(means),
                    mean=float(means.mean()),
                    sd=float(means.std(ddof=1)) if len(means) > 1 else float("nan"),
                    low=low,
                    high=high,
                )
            )
    return results


def _average_cases(by_case: _ByCase, subsets: Sequence[Availability]) -> npt.NDArray[np.float64]:
    """Return the mean over subsets of each case that has a score in one of them."""
    names = [format_subset(subset) for subset in subsets]
    means = [_average_scored([scores[name] for name in names if name in scores]) for scores in by_case.values()]
    return np.array([mean for mean in means if not np.isnan(mean)], np.float64)


def _average_scored(values: Sequence[float]) -> float:
    scored = [value for value in values if not np.isnan(value)]
    return sum(scored) / len(scored) if scored else float("nan")
