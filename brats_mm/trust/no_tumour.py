"""Warn about a segmentation that looks like those of heads without tumour.

The model segments a tumour in any head. In heads without one, its probabilities inside the whole tumour and its core
are lower than in cases. The limit is a quantile of the scores of labelled cases. Heads without tumour have no part in
it, so `docs/trust.md` can report how well this separates them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from brats_mm.domain.availability import Availability
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.trust.record import CaseRecords

FALSE_ALARMS = 0.05
"""Largest share of the labelled cases' segmentations with a warning."""

MIN_SEQUENCES = 2

NO_TUMOUR = (
    "The segmentation is as uncertain as those of heads without tumour. The model segments a tumour in any head, so "
    "check the images for one before you use the outlines or the volumes."
)


def compute_no_tumour_score(available: Availability, estimates: Mapping[Region, float | None]) -> float | None:
    """Return the mean of the estimated Dice of the whole tumour and its core, 0 to 1. Low in heads without tumour.

    Args:
        available: sequences of the case.
        estimates: Dice estimated from the probabilities, by region. None counts as 0, except for an empty whole tumour.

    Returns:
        The score, or None if nothing was segmented, or if the case has fewer than two sequences, or neither T2 nor
        FLAIR.
    """
    whole_tumour = estimates[Region.WT]
    if whole_tumour is None or len(available) < MIN_SEQUENCES or not available & {Modality.T2, Modality.FLAIR}:
        return None
    return (whole_tumour + (estimates[Region.TC] or 0.0)) / 2


def fit_no_tumour_scores(cases: Iterable[CaseRecords]) -> dict[int, float]:
    """Return the score below which a segmentation gets the warning, by number of sequences.

    At most `FALSE_ALARMS` of the segmentations of labelled cases have a lower score.

    Args:
        cases: records of each labelled case.
    """
    scores: dict[int, list[float]] = defaultdict(list)
    for case in cases:
        for available in {subset for subset, _ in case}:
            estimates = {region: _to_number(case[available, region].estimated_dice) for region in REGIONS}
            score = compute_no_tumour_score(available, estimates)
            if score is not None:
                scores[len(available)].append(score)
    return {count: sorted(of)[math.floor(FALSE_ALARMS * len(of))] for count, of in sorted(scores.items())}


def find_no_tumour_warnings(
    available: Availability, estimates: Mapping[Region, float | None], least: Mapping[int, float]
) -> tuple[str, ...]:
    """Return a warning if the segmentation looks like that of a head without tumour.

    Args:
        available: sequences of the case.
        estimates: as for `compute_no_tumour_score`.
        least: result of `fit_no_tumour_scores`. Without a score for this number of sequences, there is no warning.
    """
    score = compute_no_tumour_score(available, estimates)
    return (NO_TUMOUR,) if score is not None and score < least.get(len(available), 0.0) else ()


def _to_number(value: float) -> float | None:
    return None if math.isnan(value) else value
