"""Score one case with each of its subsets of sequences.

`share_passes` runs each expert once per case and mixes all 15 subsets, on the bounding box of all sequences. Running
the network for each subset, on its own bounding box, only differs if the sequences have different brain masks.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from brats_mm.domain.availability import Availability, format_subset
from brats_mm.domain.case import Case
from brats_mm.domain.entropy import binary_entropy
from brats_mm.domain.label_map import Mask
from brats_mm.domain.options import GRID_TOLERANCE
from brats_mm.domain.prediction import THRESHOLD, ModelIdentity, Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.resample import find_bounding_box
from brats_mm.domain.subset_calibration import IDENTITY
from brats_mm.evaluation.summary import CaseEvaluation, VoxelTables
from brats_mm.evaluation.tables import CaseRow, UncertaintyScores, WeightRow
from brats_mm.inference.predictor import Predictor
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.io.reference_labels import read_reference, warn_about_offset
from brats_mm.metrics.calibration import Reliability, build_reliability
from brats_mm.metrics.case_scores import Reference, Rule, prepare_reference, score_regions
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.uncertainty import build_entropy_table
from brats_mm.trust.record import TrustRecord, compute_probability_scores, undo_correction

MARGIN = 2
"""Margin in voxels around brain and reference for comparing masks. Predictions do not extend further."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class SetPredictor:
    """Function that predicts the subsets of a case, with its description.

    Attributes:
        description: how the model is run, for the summary.
        model: identity of the model.
        predict: function from a case and subsets to one prediction per subset, in the same order. A prediction's
            `case.available` is its subset.
        windows: window settings. An interrupted evaluation resumes only with equal settings.
        whole_volume: whether to compare masks everywhere, because predictions may extend beyond the brain.
    """

    description: str
    model: ModelIdentity
    predict: Callable[[Case, Sequence[Availability]], Iterable[Prediction]]
    windows: Mapping[str, Any] = field(default_factory=dict)
    whole_volume: bool = False


def share_passes(predictor: Predictor) -> SetPredictor:
    """Return a predictor that runs each expert once per case and window, so 15 subsets cost four expert passes."""

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        predictions = predictor.predict_subsets(case, subsets)
        # Release each prediction after use, to free its lazily computed maps.
        return (predictions.pop(subset) for subset in subsets)

    description = "experts run once per case, on the bounding box of all its sequences"
    return SetPredictor(description, predictor.model, predict, _describe_windows(predictor))


def _describe_windows(predictor: Predictor) -> dict[str, Any]:
    settings = predictor.settings
    return {
        "voxels": list(settings.window),
        "overlap": settings.overlap,
        "multiple": settings.multiple,
        "tta_flips": [list(axes) for axes in settings.tta_flips],
        "backend": predictor.backend.name if predictor.backend else "torch",
    }


def evaluate_case(
    labelled: LabelledCase,
    predictor: SetPredictor,
    requested: Sequence[Availability],
    policy: EmptyPolicy,
    tolerance: float = GRID_TOLERANCE,
) -> CaseEvaluation:
    """Score one case with each requested subset whose sequences are all available.

    Args:
        labelled: case with its reference.
        predictor: model to score.
        requested: subsets to score. Subsets with missing sequences are skipped.
        policy: scoring of empty regions.
        tolerance: maximum distance between voxel centres of images and label map, as a fraction of a voxel.

    Raises:
        InputError: an image or the label map is unusable.
    """
    case = read_case(labelled.files, tolerance=tolerance)
    reference = read_reference(labelled.label, case.grid, labelled.scheme, tolerance=tolerance)
    warnings = [*case.warnings, *warn_about_offset(labelled.label, case.grid)]
    shape = case.grid.shape
    brain = (
        (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])) if predictor.whole_volume else find_brain_box(case)
    )
    box = _find_box_around(brain, reference[Region.WT])
    # Same memory order as the predictions. Combining arrays of different order is slow.
    inside = {region: np.asfortranarray(reference[region][brain]) for region in REGIONS}
    prepared = prepare_reference(
        {region: np.asfortranarray(reference[region][box]) for region in REGIONS}, case.grid.spacing_mm
    )
    subsets = [subset for subset in requested if subset <= case.available]
    voxel_tables: dict[Availability, Mapping[Region, VoxelTables]] = {}
    rows: list[CaseRow] = []
    weights: list[WeightRow] = []
    trust: list[TrustRecord] = []
    for prediction in predictor.predict(case, subsets):
        warnings += [warning for warning in prediction.case.warnings if warning not in warnings]
        tables = {region: _count_voxels(prediction, inside[region], region, brain) for region in REGIONS}
        voxel_tables[prediction.case.available] = tables
        scored = _build_case_rows(prediction, prepared, tables, box, policy)
        rows += scored
        uncalibrated = {region: _count_uncalibrated(prediction, inside[region], region, brain) for region in REGIONS}
        trust += _build_trust_records(prediction, scored, uncalibrated, box)
        weights += _build_weight_rows(prediction)
    return CaseEvaluation(tuple(rows), tuple(weights), tuple(trust), voxel_tables, tuple(warnings))


def find_brain_box(case: Case) -> Box:
    """Return the bounding box of all voxels with signal in any sequence, on the input grid."""
    signal = np.zeros(case.grid.shape, np.bool_)
    for volume in case.volumes.values():
        signal |= volume.foreground
    return find_bounding_box(signal)


def _build_case_rows(
    prediction: Prediction,
    reference: Reference,
    tables: Mapping[Region, VoxelTables],
    box: Box,
    policy: EmptyPolicy,
) -> list[CaseRow]:
    available = prediction.case.available
    scores = score_regions({region: prediction.mask(region)[box] for region in REGIONS}, reference, policy)
    rows = []
    for region, (calibrated, entropy) in tables.items():
        uncertainty = UncertaintyScores(
            calibrated.ece, calibrated.sce, calibrated.class_ece, entropy.auroc, entropy.filtered().score
        )
        rows += [
            CaseRow(
                case=prediction.case.name,
                subset=format_subset(available),
                sequences=len(available),
                region=region.value,
                rule=rule.value,
                **vars(scores[rule][region]),
                **vars(uncertainty),
            )
            for rule in Rule
        ]
    return rows


def _count_voxels(prediction: Prediction, reference: Mask, region: Region, brain: Box) -> VoxelTables:
    """Count voxels by probability and entropy over the brain's box. The reference is already cropped to it."""
    probability, truth = np.asfortranarray(prediction.probabilities[region][brain]).T, reference.T
    entropy = build_entropy_table(binary_entropy(probability), probability >= THRESHOLD, truth)
    return build_reliability(probability, truth), entropy


def _count_uncalibrated(prediction: Prediction, reference: Mask, region: Region, brain: Box) -> Reliability | None:
    """Count voxels by probability before the bundle's temperatures. Return None if the bundle has no temperatures for
    these sequences.
    """
    calibration = prediction.model.calibration
    correction = IDENTITY if calibration is None else calibration.find_correction(prediction.case.available, region)
    if correction == IDENTITY:
        return None
    probability = np.asfortranarray(prediction.probabilities[region][brain])
    return build_reliability(undo_correction(probability, correction).T, reference.T)


def _build_trust_records(
    prediction: Prediction, rows: Sequence[CaseRow], uncalibrated: Mapping[Region, Reliability | None], box: Box
) -> list[TrustRecord]:
    voxel_ml = prediction.case.grid.voxel_ml
    records = []
    for row in (row for row in rows if row.rule == Rule.RAW.value):
        region = Region(row.region)
        before, entropy = uncalibrated[region], prediction.mean_entropy_inside(region)
        records.append(
            TrustRecord(
                case=row.case,
                subset=row.subset,
                region=row.region,
                dice=row.dice,
                reference_ml=row.reference_voxels * voxel_ml,
                mean_entropy_nats=math.nan if entropy is None else entropy,
                class_ece=row.class_ece,
                class_ece_uncalibrated=row.class_ece if before is None else before.class_ece,
                **compute_probability_scores(
                    prediction.probabilities[region][box], prediction.mask(region)[box], voxel_ml
                ),
            )
        )
    return records


def _build_weight_rows(prediction: Prediction) -> list[WeightRow]:
    available = prediction.case.available
    return [
        WeightRow(prediction.case.name, format_subset(available), region.value, modality.value, by_region[region])
        for modality, by_region in prediction.importance.weights.items()
        for region in REGIONS
        if modality in available
    ]


def _find_box_around(brain: Box, tumour: Mask) -> Box:
    """Return the bounding box of brain and reference with a margin, clipped to the volume."""
    boxes = [brain, find_bounding_box(tumour)] if tumour.any() else [brain]
    sides = [
        slice(
            max(0, min(box[axis].start for box in boxes) - MARGIN),
            min(tumour.shape[axis], max(box[axis].stop for box in boxes) + MARGIN),
        )
        for axis in range(3)
    ]
    return sides[0], sides[1], sides[2]
