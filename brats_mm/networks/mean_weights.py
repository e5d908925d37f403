"""The mean of several checkpoints' weights: one network that is often better than any of them, at the cost of one.

Source: Wortsman et al., "Model soups", ICML 2022. It holds for checkpoints of one lineage, where one was trained on
from the other or all from the same start; the mean of networks that were trained apart answers nothing.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def mean_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of state dicts of one network, at least one, in float32; counters are those of the first."""
    first = states[0]
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in first.items()
    }
