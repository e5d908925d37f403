"""Warn about a segmentation that looks like those of heads without tumour.

The model segments a tumour in any head. In heads without one, its probabilities inside the whole tumour and its core
are lower than in cases. `docs/trust.md` reports how well this separates them.
"""

from collections.abc import Mapping

from brats_mm.domain.availability import Availability
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Region

LEAST_MEAN = {2: 0.71, 3: 0.71, 4: 0.77}
"""Least mean of the estimated Dice of the whole tumour and its core, by number of sequences."""

NO_TUMOUR = (
    "The segmentation is as uncertain as those of heads without tumour. The model segments a tumour in any head, so "
    "check the images for one before you use the outlines or the volumes."
)


def no_tumour_score(available: Availability, estimates: Mapping[Region, float | None]) -> float | None:
    """Return the mean of the estimated Dice of the whole tumour and its core, 0 to 1. Low in heads without tumour.

    Args:
        available: sequences of the case.
        estimates: Dice estimated from the probabilities, by region. None counts as 0, except for an empty whole tumour.

    Returns:
        The score, or None if nothing was segmented, or if the case has fewer than two sequences, or neither T2 nor
        FLAIR.
    """
    whole_tumour = estimates[Region.WT]
    if whole_tumour is None or len(available) < min(LEAST_MEAN) or not available & {Modality.T2, Modality.FLAIR}:
        return None
    return (whole_tumour + (estimates[Region.TC] or 0.0)) / 2


def no_tumour_warnings(available: Availability, estimates: Mapping[Region, float | None]) -> tuple[str, ...]:
    """Return a warning if the segmentation looks like that of a head without tumour.

    Takes the arguments of `no_tumour_score`.
    """
    score = no_tumour_score(available, estimates)
    return () if score is None or score >= LEAST_MEAN[len(available)] else (NO_TUMOUR,)
