"""Compare two evaluations of the same cases: paired differences, bootstrap intervals, signed-rank tests.

The case is the unit of analysis. Its scores are averaged over the subsets that both evaluations have, because its 15
subsets are not independent observations. Single subsets are compared too, with p values corrected by Holm's method.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import wilcoxon

from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError
from brats_mm.evaluation.comparison_markdown import render_comparison_markdown
from brats_mm.evaluation.comparison_tables import render_comparison_latex, write_comparison_csv
from brats_mm.evaluation.tables import NUMBERS, SCORES, CaseRow, read_case_rows, read_summary, write_document
from brats_mm.metrics.case_scores import Rule
from brats_mm.metrics.monotonicity import PairTally, tally_pairs
from brats_mm.outputs.folder import convert_output_errors

COMPARISON = "comparison.json"
MARKDOWN = "comparison.md"
CSV, LATEX = "comparison.csv", "comparison.tex"

Values = npt.NDArray[np.float64]


RESAMPLES, CONFIDENCE, SEED = 10_000, 0.95, 0
"""Number of bootstrap samples of cases, confidence level of the percentile intervals, and seed."""


def compare(first: Path, second: Path, out: Path | None = None) -> dict[str, Any]:
    """Compare evaluation B (`second`) with evaluation A (`first`). Differences are B minus A.

    Args:
        first, second: folders written by `evaluate`.
        out: folder for `comparison.json`, `.md`, `.csv` and `.tex`. None writes nothing.

    Raises:
        OptionError: a folder contains no evaluation, the policies for empty regions differ, or no case is shared.
    """
    summaries = read_summary(first), read_summary(second)
    _check_same_policy(first, second, summaries)
    a, b = _index_scores(read_case_rows(first)), _index_scores(read_case_rows(second))
    cases = sorted({key[0] for key in a} & {key[0] for key in b})
    if not cases:
        raise OptionError(f"{first} and {second} have no case in common. Evaluate both models on the same cases.")
    document = {
        "a": {"folder": first.name, "model": summaries[0]["model"]},
        "b": {"folder": second.name, "model": summaries[1]["model"]},
        "cases": len(cases),
        "cases_only_in_one": len({key[0] for key in a} ^ {key[0] for key in b}),
        "difference": "B minus A, paired by case",
        "interval": f"{CONFIDENCE:.0%} percentile bootstrap over cases, {RESAMPLES} samples, seed {SEED}",
        "test": "two-sided Wilcoxon signed-rank test, without the cases that do not differ",
        "empty_policy": summaries[0]["empty_policy"],
        "means": _compare_means(a, b, cases),
        "counterintuitive": _compare_rates(a, b, cases),
        "sets": _compare_sets(a, b, cases),
    }
    if out is not None:
        with convert_output_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            (out / MARKDOWN).write_text(render_comparison_markdown(document), encoding="utf-8")
            (out / LATEX).write_text(render_comparison_latex(document), encoding="utf-8")
            write_comparison_csv(out / CSV, document)
        write_document(out / COMPARISON, document)
    return document


def compare_pairs(first: Values, second: Values) -> dict[str, Any]:
    """Compare two columns of scores, one row per case. Rows with a missing score are skipped.

    Args:
        first, second: scores by case, of evaluation A and B.
    """
    usable = ~(np.isnan(first) | np.isnan(second))
    a, b = first[usable], second[usable]
    if not len(a):
        return {"cases": 0, "a": None, "b": None, "difference": None, "low": None, "high": None, "p": None}
    difference = b - a
    low, high = compute_bootstrap_interval(difference, lambda sample: sample.mean(axis=1))
    return {
        "cases": len(a),
        "a": float(a.mean()),
        "b": float(b.mean()),
        "difference": float(difference.mean()),
        "low": low,
        "high": high,
        "p": compute_signed_rank_p(difference),
    }


def compute_bootstrap_interval(values: Values, statistic: Callable[[Values], Values]) -> tuple[float, float]:
    """Return the bootstrap percentile interval of a statistic.

    Args:
        values: (n, ...) values, one row per case.
        statistic: function from (k, n, ...) resamples to (k,) values.
    """
    rng = np.random.default_rng(SEED)
    statistics = []
    for start in range(0, RESAMPLES, 500):  # in chunks, to limit memory
        rows = rng.integers(0, len(values), (min(500, RESAMPLES - start), len(values)))
        statistics.append(statistic(values[rows]))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(statistics), [tail, 100 - tail])
    return float(low), float(high)


def compute_signed_rank_p(difference: Values) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test, or 1 if no case differs."""
    changed = difference[difference != 0]
    return float(wilcoxon(changed).pvalue) if len(changed) else 1.0


def correct_by_holm(p: Sequence[float]) -> list[float]:
    """Correct p values for multiple testing by Holm's step-down method."""
    adjusted = [0.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


Key = tuple[str, str, str, str]
"""Case, set, region, rule."""
Scores = Mapping[Key, CaseRow]


def _index_scores(rows: Iterator[CaseRow]) -> Scores:
    return {(row.case, row.subset, row.region, row.rule): row for row in rows}


def _list_score_names(rule: Rule) -> tuple[str, ...]:
    return NUMBERS if rule is Rule.RAW else SCORES


def _compare_means(a: Scores, b: Scores, cases: Sequence[str]) -> dict[str, Any]:
    return {
        rule.value: {
            region.value: {
                name: compare_pairs(
                    *_average_columns(
                        a, b, cases, [(format_subset(s), region.value, rule.value) for s in SUBSETS], name
                    )
                )
                for name in _list_score_names(rule)
            }
            for region in REGIONS
        }
        for rule in Rule
    }


def _compare_sets(a: Scores, b: Scores, cases: Sequence[str]) -> dict[str, Any]:
    """Compare the raw Dice of each subset, with p values corrected over all subsets and regions."""
    by_subset: dict[str, Any] = {}
    results = []
    for subset in map(format_subset, SUBSETS):
        for region in REGIONS:
            et_comparison = compare_pairs(
                *_average_columns(a, b, cases, [(subset, region.value, Rule.RAW.value)], "dice")
            )
            if et_comparison["cases"]:
                by_subset.setdefault(subset, {})[region.value] = et_comparison
                results.append(et_comparison)
    for result, p in zip(results, correct_by_holm([result["p"] for result in results]), strict=True):
        result["p_holm"] = p
    return by_subset


def _compare_rates(a: Scores, b: Scores, cases: Sequence[str]) -> dict[str, Any]:
    """Compare the counter-intuitive rates, with the bootstrap interval of their difference."""
    rates = {}
    for region in REGIONS:
        tallies = [[_tally_case(scores, case, region.value) for case in cases] for scores in (a, b)]
        columns = np.array(
            [[x.worse, x.pairs, y.worse, y.pairs] for x, y in zip(*tallies, strict=True)], np.float64
        )  # (cases, 4)
        totals = columns.sum(axis=0)
        if not totals[1] or not totals[3]:
            continue
        low, high = compute_bootstrap_interval(columns, _compute_rate_difference)
        rates[region.value] = {
            "a": totals[0] / totals[1],
            "b": totals[2] / totals[3],
            "difference": float(_compute_rate_difference(columns[None])[0]),
            "low": low,
            "high": high,
        }
    return rates


def _compute_rate_difference(sample: Values) -> Values:
    totals = sample.sum(axis=1)  # (k, 4)
    return np.asarray(totals[:, 2] / np.maximum(totals[:, 3], 1) - totals[:, 0] / np.maximum(totals[:, 1], 1))


def _tally_case(scores: Scores, case: str, region: str) -> PairTally:
    dice = {subset: scores.get((case, format_subset(subset), region, Rule.RAW.value)) for subset in SUBSETS}
    return tally_pairs({subset: row.dice for subset, row in dice.items() if row is not None})


def _average_columns(
    a: Scores, b: Scores, cases: Sequence[str], keys: Sequence[tuple[str, str, str]], name: str
) -> tuple[Values, Values]:
    """Average each case's scores over the columns that both evaluations have, or NaN without any."""
    pairs = np.full((len(cases), 2), np.nan)
    for index, case in enumerate(cases):
        both = [
            (getattr(a[(case, *key)], name), getattr(b[(case, *key)], name))
            for key in keys
            if (case, *key) in a and (case, *key) in b
        ]
        scored = np.array([pair for pair in both if not np.isnan(pair).any()], np.float64)
        if scored.size:
            pairs[index] = scored.mean(axis=0)
    return pairs[:, 0], pairs[:, 1]


def _check_same_policy(first: Path, second: Path, summaries: tuple[dict[str, Any], dict[str, Any]]) -> None:
    policies = [summary["empty_policy"]["name"] for summary in summaries]
    if policies[0] != policies[1]:
        raise OptionError(
            f"{first} uses the policy {policies[0]} for empty regions and {second} uses {policies[1]}, so their scores "
            "are not comparable. Evaluate both with the same --empty policy."
        )
