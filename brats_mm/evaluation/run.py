"""Evaluate a model on every subset of sequences of every case, in constant memory.

Each case is saved in the folder `unfinished` inside the results. Results appear together when all cases are finished.
An interrupted evaluation resumes after its last finished case and gives the same results.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from brats_mm import __version__
from brats_mm.domain.availability import SUBSETS, Availability, format_subset, sort_modalities
from brats_mm.domain.options import GRID_TOLERANCE
from brats_mm.errors import CaseError, InputError
from brats_mm.evaluation.case import SetPredictor, evaluate_case
from brats_mm.evaluation.checkpoint import EvaluationCheckpoint
from brats_mm.evaluation.markdown import render_markdown
from brats_mm.evaluation.summary import CaseEvaluation, Summary
from brats_mm.evaluation.tables import (
    CASES,
    SUMMARY,
    TRUST,
    WEIGHTS,
    CaseRow,
    RowWriter,
    WeightRow,
    write_document,
    write_parquet_beside,
)
from brats_mm.io.bundle import compute_sha256
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.outputs.folder import OutputFolder, convert_output_errors
from brats_mm.outputs.parquet import require_parquet
from brats_mm.trust.record import TrustRecord

logger = logging.getLogger(__name__)

MARKDOWN = "summary.md"
OnCase = Callable[[int, int, str], None]
"""Called after each case with the number of finished cases, the total and the case's name."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Attributes:
        policy: scoring of empty regions.
        subsets: subsets to score. Subsets with a sequence that a case lacks are skipped for it.
        plots: also draw heat map, reliability diagram, Dice by number of sequences and filtered Dice.
        parquet: also write both tables as Parquet. Needs pyarrow.
        resume: continue an interrupted evaluation if there is one.
        overwrite: replace an existing evaluation, and without `resume` an interrupted one too.
        grid_tolerance: maximum distance between voxel centres of a case's files, as a fraction of a voxel, 0 to 0.5.
    """

    policy: EmptyPolicy = EmptyPolicy.BRATS
    subsets: tuple[Availability, ...] = SUBSETS
    plots: bool = True
    parquet: bool = False
    resume: bool = False
    overwrite: bool = False
    grid_tolerance: float = GRID_TOLERANCE


@dataclass(frozen=True)
class Evaluation:
    """Result files and summary of an evaluation."""

    folder: Path
    files: tuple[Path, ...]
    summary: Mapping[str, Any]


def evaluate(
    cases: Sequence[LabelledCase],
    folder: Path,
    predictor: SetPredictor,
    settings: EvaluationSettings | None = None,
    *,
    on_case: OnCase | None = None,
) -> Evaluation:
    """Score every subset of every case, and write tables, summary and plots into a folder.

    A failed case is logged and listed in the summary's `failed`, and the evaluation continues. After an interruption,
    the finished cases stay in `unfinished` for `resume`.

    Args:
        cases: cases from `list_labelled_cases`.
        folder: folder for `cases.csv`, `gate_weights.csv`, `trust.csv`, `summary.json`, `summary.md`, plots and Parquet
            tables.
        predictor: `share_passes(...)` of a loaded model, or a `SetPredictor`.
        settings: evaluation settings.
        on_case: callback after each case. An exception from it stops the evaluation.

    Raises:
        OutputError: the folder is not writable, or holds a finished or interrupted evaluation.
        OptionError: the interrupted evaluation had other settings, or pyarrow is required and missing.
        CaseError: every case failed.
    """
    effective = settings or EvaluationSettings()
    if effective.parquet:
        require_parquet("omit --parquet")
    checkpoint = EvaluationCheckpoint(folder)
    checkpoint.check_no_overwrite(resume=effective.resume, overwrite=effective.overwrite)
    checkpoint.begin(_plan(cases, predictor, effective), resume=effective.resume)
    try:
        _evaluate_pending(cases, predictor, effective, checkpoint, on_case)
        summary, failed, warnings = _collect(checkpoint)
        if not summary.cases:
            checkpoint.discard()
            raise CaseError(_describe_failures(len(cases), failed))
        document = summary.document(
            model=predictor.model,
            policy=effective.policy,
            failed=failed,
            warnings=warnings,
            description=predictor.description,
        )
        files = _publish(folder, checkpoint, document, effective)
    finally:
        checkpoint.leave()
    return Evaluation(folder, files, document)


def _evaluate_pending(
    cases: Sequence[LabelledCase],
    predictor: SetPredictor,
    settings: EvaluationSettings,
    checkpoint: EvaluationCheckpoint,
    on_case: OnCase | None,
) -> None:
    """Evaluate the pending cases, and save each."""
    before = checkpoint.count_finished_cases()
    for done, labelled in enumerate(cases[before:], start=before + 1):
        result: CaseEvaluation | str
        try:
            result = evaluate_case(labelled, predictor, settings.subsets, settings.policy, settings.grid_tolerance)
        except InputError as error:
            result = str(error)
            logger.warning("Case %s failed: %s", labelled.files.name, error)
        checkpoint.save(done, labelled.files.name, result)
        if on_case is not None:
            on_case(done, len(cases), labelled.files.name)


def _collect(
    checkpoint: EvaluationCheckpoint,
) -> tuple[Summary, Mapping[str, str], Mapping[str, Sequence[str]]]:
    """Write the tables of all finished cases.

    Returns:
        The summary, the reasons of failed cases by name, and the warnings about the others by name.
    """
    summary, failed, warnings = Summary(), dict[str, str](), dict[str, Sequence[str]]()
    with (
        RowWriter(checkpoint.folder / CASES, CaseRow) as table,
        RowWriter(checkpoint.folder / WEIGHTS, WeightRow) as weights,
        RowWriter(checkpoint.folder / TRUST, TrustRecord) as trust,
    ):
        for name, result in checkpoint.results():
            if isinstance(result, str):
                failed[name] = result
            else:
                table.write(result.rows)
                weights.write(result.weights)
                trust.write(result.trust)
                summary.add_case(result)
                if result.warnings:
                    warnings[name] = result.warnings
    return summary, failed, warnings


def _plan(cases: Sequence[LabelledCase], predictor: SetPredictor, settings: EvaluationSettings) -> dict[str, Any]:
    """Return everything that the scores depend on. An evaluation resumes only if all of it is unchanged."""
    return {
        "software version": __version__,
        "model": predictor.model.document(),
        "prediction method": predictor.description,
        "window settings": dict(predictor.windows),
        "empty-region policy": settings.policy.value,
        "grid tolerance": settings.grid_tolerance,
        "list of tables": [CASES, WEIGHTS, TRUST],
        "choice of subsets": [format_subset(subset) for subset in settings.subsets],
        "list of cases": [_identify_case(case) for case in cases],
    }


def _identify_case(case: LabelledCase) -> dict[str, Any]:
    """Identify a case by its name, sequences, label scheme and the content of its files."""
    files = [Path(case.files.paths[modality]) for modality in sort_modalities(frozenset(case.files.paths))]
    return {
        "name": case.files.name,
        "sequences": format_subset(frozenset(case.files.paths)),
        "labels": case.scheme.value if case.scheme else None,
        "sha256": [compute_sha256(path) if path.is_file() else None for path in (*files, case.label)],
    }


def _describe_failures(number: int, failed: Mapping[str, str]) -> str:
    cases = "The only case" if number == 1 else f"All {number} cases"
    return f"{cases} failed. First error: {next(iter(failed.values()), '')}"


def _publish(
    folder: Path, checkpoint: EvaluationCheckpoint, document: Mapping[str, Any], settings: EvaluationSettings
) -> tuple[Path, ...]:
    """Write the summary, move all results into the folder atomically, and remove the checkpoint."""
    work = checkpoint.folder
    names = [CASES, WEIGHTS, TRUST, SUMMARY, MARKDOWN]
    write_document(work / SUMMARY, document)
    with convert_output_errors(folder):
        (work / MARKDOWN).write_text(render_markdown(document), encoding="utf-8")
        if settings.parquet:
            tables = {CASES: CaseRow, WEIGHTS: WeightRow}
            names += [write_parquet_beside(work / name, kind).name for name, kind in tables.items()]
        if settings.plots:
            from brats_mm.evaluation.plots import write_plots

            names += [path.name for path in write_plots(document, work)]
    with OutputFolder(folder) as results:
        for name in names:
            copyfile(work / name, results.staged(name))
    checkpoint.discard()
    return tuple(folder / name for name in names)
