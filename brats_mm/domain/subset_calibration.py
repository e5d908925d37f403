"""What is done to a model's logits with each subset of sequences, so that its probabilities mean what they say."""

from collections.abc import Mapping
from dataclasses import dataclass

from brats_mm.domain.availability import Availability
from brats_mm.domain.regions import Region


@dataclass(frozen=True)
class Correction:
    """A logit becomes `(logit - offset) / temperature`, and where that is above 0 it is divided by `inside` as well.

    The offset moves the border, the temperature says how sure, and `inside` how sure of what is called the region: a
    network trained with a Dice loss is too sure there, while its background is honest.

    Attributes:
        offset: taken off.
        temperature: above 0; above 1 makes probabilities less sure.
        inside: the same for logits above 0 alone; the outline and all outside of it stay as they are.
    """

    offset: float = 0.0
    temperature: float = 1.0
    inside: float = 1.0


IDENTITY = Correction()


@dataclass(frozen=True)
class SubsetCalibration:
    """Corrections that were fitted on labelled cases after the training.

    Attributes:
        cases: how many labelled cases they were fitted on.
        corrections: subset of sequences -> region -> correction; a subset that no case could show is absent.
    """

    cases: int
    corrections: Mapping[Availability, Mapping[Region, Correction]]

    def of(self, subset: Availability, region: Region) -> Correction:
        """The correction for a region with these sequences; none where nothing was fitted."""
        return self.corrections.get(subset, {}).get(region, IDENTITY)
