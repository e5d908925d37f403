"""Fit the gain in Dice from each missing sequence to labelled cases that were segmented with every subset."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brats_mm.domain.availability import ALL_AVAILABLE, SUBSETS, Availability, sort_modalities
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.trust_profile import DiceCurve, GainModel, GainTerm
from brats_mm.trust.record import CaseRecords

Numbers = npt.NDArray[np.float64]

KINDS: Mapping[str, tuple[bool, bool]] = {
    "table": (False, False),
    "table and expected Dice": (True, False),
    "table, expected Dice and enhancement": (True, True),
}
"""Kinds of gain models, named by their predictors."""

PAIRS: tuple[tuple[Availability, Modality], ...] = tuple(
    (subset, added) for subset in SUBSETS for added in sort_modalities(ALL_AVAILABLE - subset)
)
"""The 28 pairs of a subset and a sequence that it lacks."""

_FEWER = np.array([SUBSETS.index(subset) for subset, _ in PAIRS])
_MORE = np.array([SUBSETS.index(subset | {added}) for subset, added in PAIRS])


@dataclass(frozen=True, eq=False)
class GainData:
    """Data to fit gains to. Missing values are NaN.

    Attributes:
        dice: (cases, 15, 3) true Dice by subset and region.
        expected: (cases, 15, 3) expected Dice. NaN if nothing was segmented.
        log_enhancing: (cases, 15) log(1 + mL of segmented enhancing tumour).
    """

    dice: Numbers
    expected: Numbers
    log_enhancing: Numbers

    def part(self, cases: Sequence[bool] | npt.NDArray[np.bool_]) -> "GainData":
        """Return the data of some cases."""
        indices = np.asarray(cases)
        return GainData(self.dice[indices], self.expected[indices], self.log_enhancing[indices])


@dataclass(frozen=True)
class Gain:
    """True and predicted gain in Dice of a case when a sequence is added to a subset."""

    subset: Availability
    region: Region
    added: Modality
    true: float
    predicted: float


def collect_gain_data(by_case: Mapping[str, CaseRecords], curves: Mapping[Region, DiceCurve]) -> GainData:
    """Collect the data of cases, with the expected Dice of the curves.

    Args:
        by_case: records of each case.
        curves: calibration of the estimated Dice, by region.
    """
    shape = (len(by_case), len(SUBSETS), len(REGIONS))
    data = GainData(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape[:2], np.nan))
    for row, case in enumerate(by_case.values()):
        for (subset, region), record in case.items():
            index = row, SUBSETS.index(subset), region.channel
            data.dice[index] = record.dice
            if not math.isnan(record.estimated_dice):
                data.expected[index] = curves[region].expected(record.estimated_dice)
            if region is Region.ET:
                data.log_enhancing[index[:2]] = math.log1p(record.predicted_ml)
    return data


def fit_gains(data: GainData) -> GainModel:
    """Fit the gains with the kind of terms that predicts left-out cases best for each region."""
    cases = np.arange(len(data.dice))
    error = {(kind, region): [0.0] for kind in KINDS for region in REGIONS}
    for case in cases:
        for kind in KINDS:
            model = fit_kind(data.part(cases != case), dict.fromkeys(REGIONS, kind))
            for gain in predict_gains(model, data.part(cases == case)):
                error[kind, gain.region].append((gain.true - gain.predicted) ** 2)
    best = {region: min(KINDS, key=lambda kind: float(np.mean(error[kind, region]))) for region in REGIONS}
    return fit_kind(data, best)


def fit_kind(data: GainData, kinds: Mapping[Region, str]) -> GainModel:
    """Fit mean Dice per subset, and the terms of one kind per region by ridge regression through the origin.

    Args:
        data: data of the labelled cases.
        kinds: region -> kind of its terms, one of `KINDS`.
    """
    is_scored = np.asarray(~np.isnan(data.dice).any(axis=2))
    table, enhancing = _average_scored(data.dice, is_scored), _average_scored(data.log_enhancing, is_scored)
    has_expected = np.isfinite(data.expected)
    above = np.where(has_expected, data.expected - table, 0.0)[:, _FEWER]
    brighter = np.where(has_expected, (data.log_enhancing - enhancing)[..., None], 0.0)[:, _FEWER]
    gain = data.dice[:, _MORE] - data.dice[:, _FEWER]
    residual = gain - (table[_MORE] - table[_FEWER])
    terms: dict[Region, dict[Modality, GainTerm]] = {region: {} for region in REGIONS}
    for region in REGIONS:
        uses_dice, uses_enhancing = KINDS[kinds[region]]
        if not uses_dice and not uses_enhancing:
            continue
        for added in MODALITIES:
            pair_indices = [index for index, (_, modality) in enumerate(PAIRS) if modality is added]
            x = np.stack([signal[:, pair_indices, region.channel].ravel() for signal in (above, brighter)])
            y = residual[:, pair_indices, region.channel].ravel()
            x[1] *= uses_enhancing
            valid = np.isfinite(x).all(axis=0) & np.isfinite(y)
            terms[region][added] = _fit_ridge(x[:, valid], y[valid], len(data.dice))
    scored = [index for index in range(len(SUBSETS)) if np.isfinite(table[index]).all()]
    return GainModel(
        dice={SUBSETS[index]: {region: float(table[index, region.channel]) for region in REGIONS} for index in scored},
        log_enhancing={SUBSETS[index]: float(enhancing[index]) for index in scored},
        terms=terms,
    )


def predict_gains(model: GainModel, data: GainData) -> Iterator[Gain]:
    """Compare true and predicted gains of cases, where both subsets were scored.

    Args:
        model: fitted gains.
        data: data of the cases to predict.
    """
    for case in range(len(data.dice)):
        for (subset, added), fewer, more in zip(PAIRS, _FEWER, _MORE, strict=True):
            enhancing_ml = math.expm1(np.nan_to_num(data.log_enhancing[case, fewer]))
            for region in REGIONS:
                before, after, own = (
                    float(array[case, index, region.channel])
                    for array, index in ((data.dice, fewer), (data.dice, more), (data.expected, fewer))
                )
                expected = None if math.isnan(own) else own
                predicted = model.gain(subset, added, region, expected, enhancing_ml)
                if predicted is not None and not math.isnan(after - before):
                    yield Gain(subset, region, added, after - before, predicted)


def _average_scored(values: Numbers, is_scored: npt.NDArray[np.bool_]) -> Numbers:
    """Average over the cases whose regions were all scored, or return NaN if there are none."""
    mask = is_scored if values.ndim == 2 else is_scored[..., None]
    count = mask.sum(axis=0)
    total = np.where(mask, values, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _fit_ridge(x: Numbers, y: Numbers, cases: int) -> GainTerm:
    """Fit a ridge regression to the residuals of the table, with a penalty equal to one case."""
    square = x @ x.T
    per_dice, per_enhancing = np.linalg.solve(square + np.diag(np.diag(square) / cases + 1e-9), x @ y)
    return GainTerm(float(per_dice), float(per_enhancing))
