"""Score one case with each of its availability sets: the rows of its tables, and its counts of voxels.

The experts run once a case and are mixed for all 15 sets (`shared_passes`); the plain way runs the network anew for
each set (`separate_passes`) and gives the same. The two differ only where the sequences of a case have different brain
masks: shared passes use the box around all of them, separate ones around those at hand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from brats_mm.domain.availability import Availability, ordered, subset_name
from brats_mm.domain.case import Case
from brats_mm.domain.entropy import binary_entropy
from brats_mm.domain.label_map import Mask
from brats_mm.domain.prediction import THRESHOLD, ModelIdentity, Prediction
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.resample import bounding_box
from brats_mm.evaluation.tables import CaseRow, WeightRow
from brats_mm.inference.predictor import Predictor
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.calibration import Reliability, reliability
from brats_mm.metrics.case_scores import Reference, Rule, reference_of, score_regions
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.uncertainty import EntropyTable, entropy_table

MARGIN = 2
"""Voxels around brain and reference within which masks are compared; a prediction reaches no further."""

Box = tuple[slice, slice, slice]
VoxelTables = tuple[Reliability, EntropyTable]


@dataclass(frozen=True, eq=False)
class SetPredictor:
    """How the sets of a case are predicted.

    Attributes:
        way: in words, for the summary.
        model: which model predicts.
        predict: from a case and the sets wanted to one prediction a set, in that order; a prediction's
            `case.available` is its set.
        windows: how the brain's box is walked, where it is; a stopped evaluation resumes with the same only.
    """

    way: str
    model: ModelIdentity
    predict: Callable[[Case, Sequence[Availability]], Iterable[Prediction]]
    windows: Mapping[str, Any] = field(default_factory=dict)


def shared_passes(predictor: Predictor) -> SetPredictor:
    """Run each expert once a case and window, and mix for every set: 15 sets cost four expert passes."""

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        predictions = predictor.predict_subsets(case, subsets)
        # Handed out one by one and let go, so that what is worked out lazily for each does not pile up.
        return (predictions.pop(subset) for subset in subsets)

    way = "experts run once a case; the box is that of all its sequences"
    return SetPredictor(way, predictor.model, predict, _windows(predictor))


def separate_passes(predictor: Predictor) -> SetPredictor:
    """The plain way: run the network anew for each set, on a case that holds no other sequence."""

    def predict(case: Case, subsets: Sequence[Availability]) -> Iterable[Prediction]:
        for subset in subsets:
            volumes = {modality: case.volumes[modality] for modality in ordered(subset)}
            yield predictor.predict(replace(case, volumes=volumes))

    way = "network run anew for each set; the box is that of its sequences"
    return SetPredictor(way, predictor.model, predict, _windows(predictor))


def _windows(predictor: Predictor) -> dict[str, Any]:
    settings = predictor.settings
    return {
        "voxels": list(settings.window),
        "overlap": settings.overlap,
        "multiple": settings.multiple,
        "mirrors": [list(axes) for axes in settings.mirrors],
        "backend": predictor.backend.name if predictor.backend else "torch",
    }


@dataclass(frozen=True)
class CaseEvaluation:
    """What one case adds: its rows, and its voxels by probability and by entropy for each set and region."""

    rows: tuple[CaseRow, ...]
    weights: tuple[WeightRow, ...]
    tables: Mapping[Availability, Mapping[Region, VoxelTables]]


def evaluate_case(
    labelled: LabelledCase, predictor: SetPredictor, wanted: Sequence[Availability], policy: EmptyPolicy
) -> CaseEvaluation:
    """Score one case with each of the wanted sets that it has the sequences for.

    Raises:
        InputError: an image or the label map cannot be used.
    """
    case = read_case(labelled.files)
    reference = read_reference(labelled.label, case.grid, labelled.scheme)
    brain = brain_box(case)
    box = _around(brain, reference[Region.WT])
    # In memory as predictions are, first axis fastest: walking two arrays against each other's order is slow.
    inside = {region: np.asfortranarray(reference[region][brain]) for region in REGIONS}
    prepared = reference_of(
        {region: np.asfortranarray(reference[region][box]) for region in REGIONS}, case.grid.spacing_mm
    )
    subsets = [subset for subset in wanted if subset <= case.available]
    found: dict[Availability, Mapping[Region, VoxelTables]] = {}
    rows: list[CaseRow] = []
    weights: list[WeightRow] = []
    for prediction in predictor.predict(case, subsets):
        tables = {region: _voxel_tables(prediction, inside[region], region, brain) for region in REGIONS}
        found[prediction.case.available] = tables
        rows += _case_rows(prediction, prepared, tables, box, policy)
        weights += _weight_rows(prediction)
    return CaseEvaluation(tuple(rows), tuple(weights), found)


def brain_box(case: Case) -> Box:
    """The smallest box on the input grid that holds every voxel with signal in any sequence."""
    signal = np.zeros(case.grid.shape, np.bool_)
    for volume in case.volumes.values():
        signal |= volume.foreground
    return bounding_box(signal)


def _case_rows(
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


def _voxel_tables(prediction: Prediction, reference: Mask, region: Region, brain: Box) -> VoxelTables:
    """Calibration and entropy of the region's own probability over the brain's box, which the reference is cut to."""
    probability, truth = np.asfortranarray(prediction.probabilities[region][brain]).T, reference.T
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


def _around(brain: Box, tumour: Mask) -> Box:
    """The box of brain and reference together, with a margin, cut to the volume."""
    boxes = [brain, bounding_box(tumour)] if tumour.any() else [brain]
    sides = [
        slice(
            max(0, min(box[axis].start for box in boxes) - MARGIN),
            min(tumour.shape[axis], max(box[axis].stop for box in boxes) + MARGIN),
        )
        for axis in range(3)
    ]
    return sides[0], sides[1], sides[2]
