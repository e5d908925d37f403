"""Accuracy of a classifier under each availability set, and how often a modality more makes it wrong."""

import math
from collections.abc import Iterable, Mapping, Sequence

Flags = tuple[bool, ...]
"""Which modalities are there, in the order of the inputs."""

DEFINITION = (
    "Share of (sample, pair) over all pairs of nested availability sets in which the smaller set is right and the "
    "larger one is wrong."
)


def accuracies(right: Mapping[Flags, Sequence[bool]]) -> dict[Flags, float]:
    """The share of right answers under each set, in [0, 1]; sets without answers are left out."""
    return {flags: sum(answers) / len(answers) for flags, answers in right.items() if answers}


def counter_intuitive_rate(samples: Iterable[Mapping[Flags, bool]]) -> float:
    """See `DEFINITION`; not a number where no sample has two nested sets.

    SimMLM reports such a rate for segmentation without defining it; this is the one of `metrics.monotonicity` with
    right and wrong in the place of Dice.

    Args:
        samples: for each sample, whether the answer was right under each set.
    """
    worse = pairs = 0
    for sample in samples:
        for fewer, fewer_right in sample.items():
            for more, more_right in sample.items():
                if fewer != more and all(one <= two for one, two in zip(fewer, more, strict=True)):
                    pairs += 1
                    worse += fewer_right and not more_right
    return worse / pairs if pairs else math.nan
