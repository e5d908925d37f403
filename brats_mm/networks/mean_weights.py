"""Average of several checkpoints' weights, often better than each of them at the cost of one.

Source: Wortsman et al., "Model soups", ICML 2022. It works for checkpoints that share a starting point or continue from
each other. The average of independently trained networks is useless.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def average_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average state dicts of one network in float32. Integer entries are taken from the first.

    Args:
        states: at least one state dict.
    """
    first = states[0]
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in first.items()
    }
