"""Accuracy of a classifier for each availability set, and counter-intuitive rate."""

import math
from collections.abc import Iterable, Mapping, Sequence

Flags = tuple[bool, ...]
"""Availability of each modality, in the order of the inputs."""

DEFINITION = (
    "Fraction of (sample, pair) over all pairs of nested availability sets in which the smaller set is right and the "
    "larger one is wrong."
)


def accuracies(right: Mapping[Flags, Sequence[bool]]) -> dict[Flags, float]:
    """Return the accuracy for each availability set in [0, 1]. Sets without samples are skipped."""
    return {flags: sum(answers) / len(answers) for flags, answers in right.items() if answers}


def counter_intuitive_rate(samples: Iterable[Mapping[Flags, bool]]) -> float:
    """Return the rate of `DEFINITION`, or NaN if no sample has nested sets.

    This is the rate of `metrics.monotonicity` with correctness instead of Dice.

    Args:
        samples: for each sample, whether the prediction is correct under each set.
    """
    worse = pairs = 0
    for sample in samples:
        for fewer, fewer_right in sample.items():
            for more, more_right in sample.items():
                if fewer != more and all(one <= two for one, two in zip(fewer, more, strict=True)):
                    pairs += 1
                    worse += fewer_right and not more_right
    return worse / pairs if pairs else math.nan
