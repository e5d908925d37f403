"""Pool the evaluations of a cross-validation: each case is scored by the model that was not trained on it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.prediction import ModelIdentity
from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError, OutputError
from brats_mm.evaluation.markdown import render_markdown
from brats_mm.evaluation.summary import CaseEvaluation, Summary
from brats_mm.evaluation.tables import (
    CASES,
    SUMMARY,
    WEIGHTS,
    CaseRow,
    RowWriter,
    WeightRow,
    read_case_rows,
    read_rows,
    read_summary,
    write_document,
)
from brats_mm.metrics.calibration import create_empty_reliability
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.uncertainty import create_empty_entropy_table
from brats_mm.outputs.folder import OutputFolder

MARKDOWN = "summary.md"


def pool(folders: Sequence[Path], out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Pool evaluations of disjoint cases into one evaluation folder.

    Calibration and uncertainty over pooled voxels are missing, because the tables only hold scores of cases.

    Args:
        folders: folders that `evaluate` wrote, one per fold.
        out: folder for `cases.csv`, `gate_weights.csv`, `summary.json` and `summary.md`.
        overwrite: replace an evaluation in the folder.

    Returns:
        The content of `summary.json`, with `pooled_from`.

    Raises:
        OptionError: a folder contains no evaluation, a case is in two of them, or their policies for empty regions
            differ.
        OutputError: the folder already holds an evaluation or cannot be written.
    """
    if (out / CASES).exists() and not overwrite:
        raise OutputError(f"{out} already holds an evaluation. Choose another folder, or add --overwrite.")
    summaries = [read_summary(folder) for folder in folders]
    policies = sorted({summary["empty_policy"]["name"] for summary in summaries})
    if len(policies) != 1:
        raise OptionError(
            f"The folds use different policies for empty regions ({', '.join(policies)}). Evaluate all folds "
            "again with the same --empty."
        )
    summary, rows, weights = Summary(), list[CaseRow](), list[WeightRow]()
    folder_of_case: dict[str, Path] = {}
    for folder in folders:
        by_case: dict[str, list[CaseRow]] = {}
        for row in read_case_rows(folder):
            by_case.setdefault(row.case, []).append(row)
        weight_rows = list(read_rows(folder / WEIGHTS, WeightRow))
        for case, scores in by_case.items():
            if case in folder_of_case:
                raise OptionError(
                    f"The case {case} is in {folder_of_case[case]} and in {folder}. "
                    "Pool evaluations of different cases."
                )
            folder_of_case[case] = folder
            subsets = {row.subset for row in scores}
            tables = {
                subset: {region: (create_empty_reliability(), create_empty_entropy_table()) for region in REGIONS}
                for subset in SUBSETS
                if format_subset(subset) in subsets
            }
            weights_of_case = tuple(weight for weight in weight_rows if weight.case == case)
            summary.add_case(CaseEvaluation(tuple(scores), weights_of_case, tables=tables))
            rows += scores
        weights += weight_rows
    document = summary.document(
        model=_combine_identities(summaries),
        policy=EmptyPolicy(policies[0]),
        failed={case: reason for summary_document in summaries for case, reason in summary_document["failed"].items()},
        warnings={case: lines for document in summaries for case, lines in document.get("warnings", {}).items()},
        description="pooled over folds: each case by the model that was not trained on it",
    )
    document["pooled_from"] = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    with OutputFolder(out) as results:
        for name, kind, table in ((CASES, CaseRow, rows), (WEIGHTS, WeightRow, weights)):
            with RowWriter(results.staged(name), kind) as writer:
                writer.write(table)
        write_document(results.staged(SUMMARY), document)
        results.staged(MARKDOWN).write_text(render_markdown(document), encoding="utf-8")
    return document


def _combine_identities(summaries: Sequence[dict[str, Any]]) -> ModelIdentity:
    """Return the identity of the set of models: the hash of their hashes."""
    models = [summary["model"] for summary in summaries]
    digest = hashlib.sha256("".join(str(model["weights_sha256"]) for model in models).encode()).hexdigest()
    return ModelIdentity(
        name=f"{models[0]['name']}, {len(models)} folds",
        version=str(models[0]["version"]),
        weights_sha256=digest,
        parameters=int(models[0].get("parameters", 0)),
        spacing_mm=float(models[0].get("spacing_mm", 1.0)),
    )
