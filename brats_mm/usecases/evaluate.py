"""Evaluate a model as the papers do: every availability set of every case, with every score, in constant memory.

One case is in memory at a time. Its experts run once each and are mixed for all 15 sets (`shared_passes`); the plain
way runs the network anew for each set (`separate_passes`) and gives the same. The two differ only where the sequences
of a case have different brain masks: shared passes use the box around all of them, separate ones around those at hand.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.availability import SUBSETS, Availability, ordered, subset_name
from brats_mm.domain.case import Case
from brats_mm.domain.entropy import binary_entropy
from brats_mm.domain.label_map import Mask
from brats_mm.domain.prediction import THRESHOLD, ModelIdentity, Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.errors import CaseError, InputError, OutputError
from brats_mm.inference.predictor import Predictor
from brats_mm.inference.prepare import background_of
from brats_mm.io.case import read_case
from brats_mm.io.evaluation_markdown import markdown_of
from brats_mm.io.evaluation_tables import (
    CASES,
    SUMMARY,
    WEIGHTS,
    CaseRow,
    RowWriter,
    WeightRow,
    write_document,
)
from brats_mm.io.output_folder import output_errors
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.calibration import Reliability, reliability
from brats_mm.metrics.case_scores import Reference, Rule, reference_of, score_regions
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.uncertainty import EntropyTable, entropy_table
from brats_mm.usecases.evaluation_summary import Summary
from brats_mm.usecases.labelled_cases import LabelledCase

logger = logging.getLogger(__name__)

MARKDOWN = "summary.md"
MARGIN = 2
"""Voxels around brain and reference within which masks are compared; a prediction reaches no further."""

Box = tuple[slice, slice, slice]
_Tables = tuple[Reliability, EntropyTable]
OnCase = Callable[[int, int, str], None]
"""Called after each case with cases done, cases in all, and the case's name."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate.

    Attributes:
        policy: what a score is where a region is empty.
        subsets: the availability sets to try; those that need a sequence which a case lacks are left out for it.
        plots: also draw heat map, reliability diagram, Dice by number of sequences and filtered Dice.
        overwrite: replace an evaluation that is already in the folder.
    """

    policy: EmptyPolicy = EmptyPolicy.BRATS
    subsets: tuple[Availability, ...] = SUBSETS
    plots: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Where the results are, and what they sum up to."""

    folder: Path
    files: tuple[Path, ...]
    summary: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class SetPredictor:
    """How the sets of a case are predicted.

    Attributes:
        way: in words, for the summary.
        model: which model predicts.
        predict: from a case and the sets wanted to one prediction a set, in that order; a prediction's
            `case.available` is its set.
    """

    way: str
    model: ModelIdentity
    predict: Callable[[Case, Sequence[Availability]], Iterable[Prediction]]


def shared_passes(predictor: Predictor) -> SetPredictor:
    """Run each expert once a case and window, and mix for every set: 15 sets cost four expert passes."""

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        predictions = predictor.predict_subsets(case, subsets)
        # Handed out one by one and let go, so that what is worked out lazily for each does not pile up.
        return (predictions.pop(subset) for subset in subsets)

    return SetPredictor("experts run once a case; the box is that of all its sequences", predictor.model, predict)


def separate_passes(predictor: Predictor) -> SetPredictor:
    """The plain way: run the network anew for each set, on a case that holds no other sequence."""

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        for subset in subsets:
            volumes = {modality: case.volumes[modality] for modality in ordered(subset)}
            yield predictor.predict(replace(case, volumes=volumes))

    return SetPredictor("network run anew for each set; the box is that of its sequences", predictor.model, predict)


def evaluate(
    cases: Sequence[LabelledCase],
    folder: Path,
    predictor: SetPredictor,
    settings: EvaluationSettings | None = None,
    *,
    on_case: OnCase | None = None,
) -> Evaluation:
    """Score every set of every case, and write tables, summary and plots into a folder.

    Rows are written as cases come, so that a run that is cut short leaves what it found. A case that cannot be used is
    named in the summary's `failed` and in the log, and the others go on.

    Args:
        cases: from `labelled_cases`.
        folder: for `cases.csv`, `gate_weights.csv`, `summary.json`, `summary.md` and the plots.
        predictor: `shared_passes(...)` or `separate_passes(...)` of a loaded model.
        settings: how to evaluate.
        on_case: told after each case; raising from it stops the evaluation.

    Raises:
        OutputError: the folder cannot be written to, or holds an evaluation already.
        CaseError: none of the cases could be used.
    """
    chosen = settings or EvaluationSettings()
    _claim(folder, overwrite=chosen.overwrite)
    summary, failed = Summary(), dict[str, str]()
    with RowWriter(folder / CASES, CaseRow) as table, RowWriter(folder / WEIGHTS, WeightRow) as weights:
        for done, labelled in enumerate(cases, start=1):
            try:
                found = evaluate_case(labelled, predictor, chosen, summary)
            except InputError as error:
                failed[labelled.files.name] = str(error)
                logger.warning("Case %s was left out: %s", labelled.files.name, error)
            else:
                table.write(found.rows)
                weights.write(found.weights)
            if on_case is not None:
                on_case(done, len(cases), labelled.files.name)
    if not summary.cases:
        message = (
            f"None of the {len(cases)} cases could be evaluated. The first fault: {next(iter(failed.values()), '')}"
        )
        raise CaseError(message)
    document = summary.document(model=predictor.model, policy=chosen.policy, failed=failed, way=predictor.way)
    return Evaluation(folder, _write_summary(folder, document, plots=chosen.plots), document)


@dataclass(frozen=True)
class CaseResult:
    """The rows of one case."""

    rows: tuple[CaseRow, ...]
    weights: tuple[WeightRow, ...]


def evaluate_case(
    labelled: LabelledCase, predictor: SetPredictor, settings: EvaluationSettings, summary: Summary
) -> CaseResult:
    """Score every set of one case, and add it to the summary.

    Raises:
        InputError: an image or the label map cannot be used; the summary is as it was.
    """
    case = read_case(labelled.files)
    reference = read_reference(labelled.label, case.grid, labelled.convention)
    brain = brain_box(case)
    box = _around(brain, reference[Region.WT])
    prepared = reference_of({region: reference[region][box] for region in REGIONS}, case.grid.spacing_mm)
    subsets = [subset for subset in settings.subsets if subset <= case.available]
    found: dict[Availability, dict[Region, _Tables]] = {}
    rows: list[CaseRow] = []
    weights: list[WeightRow] = []
    for prediction in predictor.predict(case, subsets):
        tables = {region: _voxel_tables(prediction, reference[region], region, brain) for region in REGIONS}
        found[prediction.case.available] = tables
        rows += _case_rows(prediction, prepared, tables, box, settings.policy)
        weights += _weight_rows(prediction)
    summary.add_case(rows, weights, found)
    return CaseResult(tuple(rows), tuple(weights))


def brain_box(case: Case) -> Box:
    """The smallest box on the input grid that holds every voxel with signal in any sequence."""
    signal = np.zeros(case.grid.shape, np.bool_)
    for volume in case.volumes.values():
        signal |= volume.data != background_of(volume.data)
    return _box_of(signal)


def _case_rows(
    prediction: Prediction,
    reference: Reference,
    tables: Mapping[Region, _Tables],
    box: Box,
    policy: EmptyPolicy,
) -> list[CaseRow]:
    available = prediction.case.available
    scores = score_regions({region: prediction.mask(region)[box] for region in REGIONS}, reference, policy)
    rows = []
    for region, (calibrated, entropy) in tables.items():
        same: dict[str, Any] = {
            "ece": calibrated.ece,
            "sce": calibrated.sce,
            "class_ece": calibrated.class_ece,
            "error_auroc": entropy.auroc,
            "qu_brats": entropy.filtered().score,
        }
        rows += [
            CaseRow(
                case=prediction.case.name,
                subset=subset_name(available),
                sequences=len(available),
                region=region.value,
                rule=rule.value,
                **{**vars(scores[rule][region]), **same},
            )
            for rule in Rule
        ]
    return rows


def _voxel_tables(prediction: Prediction, reference: Mask, region: Region, brain: Box) -> _Tables:
    """Calibration and entropy of the region's own probability, over the brain's box."""
    probability, truth = prediction.probabilities[region][brain], reference[brain]
    entropy = entropy_table(binary_entropy(probability), probability >= THRESHOLD, truth)
    return reliability(probability, truth), entropy


def _weight_rows(prediction: Prediction) -> list[WeightRow]:
    available = prediction.case.available
    return [
        WeightRow(prediction.case.name, subset_name(available), region.value, modality.value, by_region[region])
        for modality, by_region in prediction.importance.weights.items()
        for region in REGIONS
        if modality in available
    ]


def _box_of(mask: Mask) -> Box:
    sides = []
    for axis in range(3):
        seen = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(seen[0]), int(seen[-1]) + 1) if seen.size else slice(0, mask.shape[axis]))
    return sides[0], sides[1], sides[2]


def _around(brain: Box, tumour: Mask) -> Box:
    """The box of brain and reference together, with a margin, cut to the volume."""
    boxes = [brain, _box_of(tumour)] if tumour.any() else [brain]
    sides = [
        slice(
            max(0, min(box[axis].start for box in boxes) - MARGIN),
            min(tumour.shape[axis], max(box[axis].stop for box in boxes) + MARGIN),
        )
        for axis in range(3)
    ]
    return sides[0], sides[1], sides[2]


def _claim(folder: Path, *, overwrite: bool) -> None:
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if (folder / CASES).exists() and not overwrite:
        message = f"{folder} holds an evaluation already. Choose another folder, or allow overwriting."
        raise OutputError(message)


def _write_summary(folder: Path, document: Mapping[str, Any], *, plots: bool) -> tuple[Path, ...]:
    write_document(folder / SUMMARY, document)
    with output_errors(folder):
        (folder / MARKDOWN).write_text(markdown_of(document), encoding="utf-8")
    files = [folder / name for name in (CASES, WEIGHTS, SUMMARY, MARKDOWN)]
    if plots:
        from brats_mm.io.evaluation_plots import write_plots

        with output_errors(folder):
            files += write_plots(document, folder)
    return tuple(files)
