"""Corrections of a model's logits per subset of sequences, which calibrate its probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass

from brats_mm.domain.availability import Availability
from brats_mm.domain.regions import Region


@dataclass(frozen=True)
class Correction:
    """Correction of a region's logits: `(logit - offset) / temperature`.

    Positive results are also divided by `foreground_temperature`, because networks trained with a Dice loss are
    overconfident in the foreground but not in the background.

    Attributes:
        offset: subtracted from the logits. Moves the border of the region.
        temperature: positive. Values above 1 lower the confidence of all voxels.
        foreground_temperature: positive. Values above 1 lower the confidence of foreground voxels only, so the outline
            is unchanged.
    """

    offset: float = 0.0
    temperature: float = 1.0
    foreground_temperature: float = 1.0


IDENTITY = Correction()


@dataclass(frozen=True)
class SubsetCalibration:
    """Corrections that were fitted to labelled cases after training.

    Attributes:
        cases: number of labelled cases.
        corrections: corrections by subset of sequences and region. Subsets without a case are absent.
    """

    cases: int
    corrections: Mapping[Availability, Mapping[Region, Correction]]

    def find_correction(self, subset: Availability, region: Region) -> Correction:
        """Return the correction of a region for a subset, or the identity if none was fitted."""
        return self.corrections.get(subset, {}).get(region, IDENTITY)
