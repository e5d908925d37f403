"""Evaluate a model as the papers do: every availability set of every case, with every score, in constant memory.

One case is in memory at a time, and what is summed up does not grow. After each case the tables and sums are saved in a
folder of their own, `unfinished` in the results' folder; results appear when all are done, together. An evaluation that
was stopped, however hard, resumes after its last whole case and ends as if it had not been.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from brats_mm import __version__
from brats_mm.domain.availability import SUBSETS, Availability, ordered, subset_name
from brats_mm.errors import CaseError, InputError, OutputError
from brats_mm.evaluation.case import SetPredictor, evaluate_case
from brats_mm.evaluation.checkpoint import EvaluationCheckpoint, EvaluationProgress
from brats_mm.evaluation.markdown import markdown_of
from brats_mm.evaluation.parquet import require_parquet, write_parquet
from brats_mm.evaluation.summary import Summary
from brats_mm.evaluation.tables import CASES, SUMMARY, WEIGHTS, CaseRow, RowWriter, WeightRow, write_document
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.outputs.folder import OutputFolder, output_errors

logger = logging.getLogger(__name__)

MARKDOWN = "summary.md"
OnCase = Callable[[int, int, str], None]
"""Called after each case with cases done, cases in all, and the case's name."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate.

    Attributes:
        policy: what a score is where a region is empty.
        subsets: the availability sets to try; those that need a sequence which a case lacks are left out for it.
        plots: also draw heat map, reliability diagram, Dice by number of sequences and filtered Dice.
        parquet: also write both tables as Parquet; needs pyarrow.
        resume: go on where a stopped evaluation was; start where there is none.
        overwrite: replace an evaluation that is already in the folder, and without `resume` a stopped one too.
    """

    policy: EmptyPolicy = EmptyPolicy.BRATS
    subsets: tuple[Availability, ...] = SUBSETS
    plots: bool = True
    parquet: bool = False
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Where the results are, and what they sum up to."""

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
    """Score every set of every case, and write tables, summary and plots into a folder.

    A case that cannot be used is named in the summary's `failed` and in the log, and the others go on. When something
    stops the evaluation, the cases done so far stay in the folder's `unfinished`, for `resume`.

    Args:
        cases: from `labelled_cases`.
        folder: for `cases.csv`, `gate_weights.csv`, `summary.json`, `summary.md`, the plots and Parquet tables.
        predictor: `shared_passes(...)` or `separate_passes(...)` of a loaded model.
        settings: how to evaluate.
        on_case: told after each case; raising from it stops the evaluation.

    Raises:
        OutputError: the folder cannot be written to, or holds an evaluation already, or a stopped one.
        OptionError: the stopped evaluation had other settings, or pyarrow is wanted and absent.
        CaseError: none of the cases could be used.
    """
    chosen = settings or EvaluationSettings()
    if chosen.parquet:
        require_parquet()
    unfinished = EvaluationCheckpoint(folder)
    _refuse_to_replace(folder, unfinished, chosen)
    progress = unfinished.begin(_plan(cases, predictor, chosen), resume=chosen.resume)
    try:
        summary, failed = _walk(cases, predictor, chosen, (unfinished, progress), on_case)
        if not summary.cases:
            unfinished.discard()
            raise CaseError(_none_usable(len(cases), failed))
        document = summary.document(model=predictor.model, policy=chosen.policy, failed=failed, way=predictor.way)
        files = _publish(folder, unfinished, document, chosen)
    finally:
        unfinished.leave()
    return Evaluation(folder, files, document)


def _walk(
    cases: Sequence[LabelledCase],
    predictor: SetPredictor,
    settings: EvaluationSettings,
    start: tuple[EvaluationCheckpoint, EvaluationProgress],
    on_case: OnCase | None,
) -> tuple[Summary, Mapping[str, str]]:
    """Evaluate the cases that are not done yet, and save after each."""
    unfinished, before = start
    summary, failed = Summary.restored(before.sums), dict(before.failed)
    kept = before.table_bytes
    with (
        RowWriter(unfinished.folder / CASES, CaseRow, keep=kept.get(CASES)) as table,
        RowWriter(unfinished.folder / WEIGHTS, WeightRow, keep=kept.get(WEIGHTS)) as weights,
    ):
        for done, labelled in enumerate(cases[before.done :], start=before.done + 1):
            try:
                found = evaluate_case(labelled, predictor, settings.subsets, settings.policy)
            except InputError as error:
                failed[labelled.files.name] = str(error)
                logger.warning("Case %s was left out: %s", labelled.files.name, error)
            else:
                table.write(found.rows)
                weights.write(found.weights)
                summary.add_case(found.rows, found.weights, found.tables)
            written = {CASES: table.bytes_written(), WEIGHTS: weights.bytes_written()}
            unfinished.save(EvaluationProgress(done, failed, written, summary.saved()))
            if on_case is not None:
                on_case(done, len(cases), labelled.files.name)
    return summary, failed


def _plan(cases: Sequence[LabelledCase], predictor: SetPredictor, settings: EvaluationSettings) -> dict[str, Any]:
    """Everything that the scores depend on; a stopped evaluation resumes only where all of it is the same."""
    return {
        "software version": __version__,
        "model": predictor.model.document(),
        "way of predicting": predictor.way,
        "window settings": dict(predictor.windows),
        "empty-region policy": settings.policy.value,
        "choice of availability sets": [subset_name(subset) for subset in settings.subsets],
        "list of cases": [_identity(case) for case in cases],
    }


def _identity(case: LabelledCase) -> dict[str, Any]:
    """What tells a case from another of its name: its sequences, and the sizes of its files."""
    files = [Path(case.files.found[modality]) for modality in ordered(frozenset(case.files.found))]
    return {
        "name": case.files.name,
        "sequences": subset_name(frozenset(case.files.found)),
        "labels": case.scheme.value if case.scheme else None,
        "bytes": [path.stat().st_size if path.is_file() else None for path in (*files, case.label)],
    }


def _refuse_to_replace(folder: Path, unfinished: EvaluationCheckpoint, settings: EvaluationSettings) -> None:
    if settings.overwrite:
        return
    if (folder / CASES).exists():
        message = f"{folder} holds an evaluation already. Choose another folder, or replace it with --overwrite."
        raise OutputError(message)
    done = unfinished.cases_done()
    if done and not settings.resume:
        message = (
            f"{folder} holds an evaluation that was stopped after {done} cases. Go on with --resume, or start anew "
            "with --overwrite."
        )
        raise OutputError(message)


def _none_usable(number: int, failed: Mapping[str, str]) -> str:
    return f"None of the {number} cases could be evaluated. The first fault: {next(iter(failed.values()), '')}"


def _publish(
    folder: Path, unfinished: EvaluationCheckpoint, document: Mapping[str, Any], settings: EvaluationSettings
) -> tuple[Path, ...]:
    """Write the summary, and bring all results into the folder at once; then the unfinished one goes."""
    work = unfinished.folder
    names = [CASES, WEIGHTS, SUMMARY, MARKDOWN]
    write_document(work / SUMMARY, document)
    with output_errors(folder):
        (work / MARKDOWN).write_text(markdown_of(document), encoding="utf-8")
        if settings.parquet:
            names += [write_parquet(work / CASES, CaseRow).name, write_parquet(work / WEIGHTS, WeightRow).name]
        if settings.plots:
            from brats_mm.evaluation.plots import write_plots

            names += [path.name for path in write_plots(document, work)]
    with OutputFolder(folder) as results:
        for name in names:
            copyfile(work / name, results.staged(name))
    unfinished.discard()
    return tuple(folder / name for name in names)
