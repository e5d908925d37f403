"""Report of a comparison: scores of every run, means over seeds, and tests against the first method.

The case is the unit of the tests. Its Dice is averaged over its subsets and over the seeds that both methods have, and
compared by Wilcoxon's signed-rank test. P values are corrected by Holm's method over all methods and regions.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm import __version__
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.evaluation.compare import compare_pairs, correct_by_holm
from brats_mm.evaluation.tables import read_case_rows, read_summary, write_document
from brats_mm.experiments.comparison.evaluation import COUNTED_SIDE, TIMED_CASES
from brats_mm.experiments.comparison.run import Experiment, Outcome
from brats_mm.experiments.comparison.tables import RunRow, SetRow, render_experiment_markdown, write_table
from brats_mm.io.bundle import compute_sha256
from brats_mm.metrics.case_scores import Rule
from brats_mm.outputs.folder import convert_output_errors

DOCUMENT, MARKDOWN = "experiment.json", "experiment.md"
EXPERIMENT_VERSION = 1


def write_comparison(
    experiment: Experiment, outcomes: Sequence[Outcome], folder: Path, *, parquet: bool = False
) -> dict[str, Any]:
    """Write `experiment.json`, `experiment.md`, `runs.csv` and `sets.csv`, and return the document.

    Args:
        experiment: the comparison.
        outcomes: results of its runs. The document lists failed runs.
        folder: output folder. Files of an earlier call are replaced.
        parquet: also write the tables as Parquet.
    """
    done = [outcome for outcome in outcomes if outcome.evaluation is not None]
    runs = [row for outcome in done for row in _run_rows(outcome)]
    sets = [row for outcome in done for row in _set_rows(outcome)]
    document = _build_document(experiment, outcomes, runs, sets)
    with convert_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / "runs.csv", runs, RunRow, parquet=parquet)
        write_table(folder / "sets.csv", sets, SetRow, parquet=parquet)
        (folder / MARKDOWN).write_text(render_experiment_markdown(document), encoding="utf-8")
    write_document(folder / DOCUMENT, document)
    return document


def _build_document(
    experiment: Experiment, outcomes: Sequence[Outcome], runs: Sequence[RunRow], sets: Sequence[SetRow]
) -> dict[str, Any]:
    methods = list(dict.fromkeys(run.method for run in experiment.runs))
    described = {run.method: run for run in experiment.runs}
    return {
        "experiment_version": EXPERIMENT_VERSION,
        "disclaimer": NOT_FOR_DIAGNOSIS,
        "software_version": __version__,
        "budget": vars(experiment.budget),
        "datalist": {"name": experiment.data.datalist.name, "sha256": compute_sha256(experiment.data.datalist)},
        "section": experiment.data.section,
        "cases": len(experiment.evaluator.cases),
        "seeds": list(dict.fromkeys(run.seed for run in experiment.runs)),
        "counted_window": COUNTED_SIDE,
        "timed_cases": min(TIMED_CASES, len(experiment.evaluator.cases)),
        "failed": {f"{o.run.method}, seed {o.run.seed}": o.failure for o in outcomes if o.failure},
        "methods": {
            name: {
                "title": described[name].title,
                "description": described[name].description,
                "starts_from": described[name].starts_from,
                "seeds": sorted({row.seed for row in runs if row.method == name}),
                "regions": {
                    region.value: _average_over_seeds(
                        [row for row in runs if (row.method, row.region) == (name, region.value)]
                    )
                    for region in REGIONS
                },
                "sets": _average_sets([row for row in sets if row.method == name]),
            }
            for name in methods
        },
        "reference": methods[0],
        "test": "Two-sided Wilcoxon signed-rank test over cases, with p values corrected over methods and regions "
        "by Holm's method",
        "tests": _compare_methods(methods, [outcome for outcome in outcomes if outcome.evaluation is not None]),
    }


def _run_rows(outcome: Outcome) -> list[RunRow]:
    assert outcome.evaluation is not None
    summary, result = read_summary(outcome.evaluation), outcome.result
    means, small = summary["means"][Rule.RAW.value], summary["means"][Rule.ET500.value]
    return [
        RunRow(
            method=outcome.run.method,
            seed=outcome.run.seed,
            region=region.value,
            dice=_to_number(means["all_sets"][region.value]["dice"]),
            dice_et500=_to_number(small["all_sets"][region.value]["dice"]),
            dice_all_four=_to_number(means["full_set"][region.value]["dice"]),
            dice_single=_to_number(means["single_sequences"][region.value]["dice"]),
            ece=_to_number(means["all_sets"][region.value]["ece"]),
            counterintuitive=_to_number(summary["counterintuitive"][Rule.RAW.value][region.value]["rate"]),
            parameters=result["parameters"],
            macs_all_four=result["multiply_accumulates"]["all_four"],
            macs_one=result["multiply_accumulates"]["one"],
            epochs=result["epochs"],
            training_s=float(sum(result["seconds"].values())),
            inference_s=float(result["inference_seconds_a_case"]),
        )
        for region in REGIONS
    ]


def _set_rows(outcome: Outcome) -> list[SetRow]:
    assert outcome.evaluation is not None
    sets = read_summary(outcome.evaluation)["sets"]
    return [
        SetRow(
            outcome.run.method,
            outcome.run.seed,
            subset,
            region.value,
            _to_number(rules["raw"][region.value]["dice"]["mean"]),
        )
        for subset, rules in sets.items()
        for region in REGIONS
    ]


def _average_over_seeds(rows: Sequence[RunRow]) -> dict[str, dict[str, float | None]]:
    """Compute mean and standard deviation of every score over the seeds."""
    names = [name for name in vars(rows[0]) if name not in ("method", "seed", "region")] if rows else []
    return {name: _compute_mean_and_std([float(getattr(row, name)) for row in rows]) for name in names}


def _compute_mean_and_std(values: Sequence[float]) -> dict[str, float | None]:
    finite = np.array([value for value in values if not np.isnan(value)])
    return {
        "mean": float(finite.mean()) if len(finite) else None,
        "std": float(finite.std(ddof=1)) if len(finite) > 1 else None,
    }


def _average_sets(rows: Sequence[SetRow]) -> dict[str, dict[str, float | None]]:
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        scores[row.subset][row.region].append(row.dice)
    return {
        subset: {region: _compute_mean_and_std(values)["mean"] for region, values in regions.items()}
        for subset, regions in scores.items()
    }


def _compare_methods(methods: Sequence[str], outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Compare every method with the first one."""
    scores = {(outcome.run.method, outcome.run.seed): _average_case_dice(outcome) for outcome in outcomes}
    tests: dict[str, dict[str, Any]] = {}
    for method in methods[1:]:
        seeds = [seed for name, seed in scores if name == method and (methods[0], seed) in scores]
        if not seeds:
            continue
        tests[method] = {}
        for region in REGIONS:
            first, second = (_average_common_cases(scores, name, seeds, region) for name in (methods[0], method))
            cases = sorted(first.keys() & second.keys())
            a, b = (np.array([dice[case] for case in cases], np.float64) for dice in (first, second))
            tests[method][region.value] = compare_pairs(a, b)
    results = [result for regions in tests.values() for result in regions.values() if result["p"] is not None]
    for result, p in zip(results, correct_by_holm([result["p"] for result in results]), strict=True):
        result["p_holm"] = p
    return tests


def _average_case_dice(outcome: Outcome) -> Mapping[tuple[str, str], float]:
    """Map (case, region) to the mean raw Dice over the case's subsets."""
    assert outcome.evaluation is not None
    dice: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in read_case_rows(outcome.evaluation):
        if row.rule == Rule.RAW.value and not np.isnan(row.dice):
            dice[row.case, row.region].append(row.dice)
    return {key: float(np.mean(values)) for key, values in dice.items()}


def _average_common_cases(
    scores: Mapping[tuple[str, int], Mapping[tuple[str, str], float]], method: str, seeds: Sequence[int], region: Region
) -> dict[str, float]:
    """Map each case that all seeds have to its mean over the seeds."""
    seed_scores = [
        {case: dice for (case, of), dice in scores[method, seed].items() if of == region.value} for seed in seeds
    ]
    return {
        case: float(np.mean([scores[case] for scores in seed_scores]))
        for case in seed_scores[0]
        if all(case in scores for scores in seed_scores)
    }


def _to_number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
