"""Pure mathematics of the mixture: which modalities are there, and the softmax over them.

Annotations are plain tensors, with shapes in words, because these functions are compiled by TorchScript when a
bundle is exported, which knows no other annotation.
"""

import torch
from torch import Tensor


def modality_weights(gate_values: Tensor, available: Tensor) -> Tensor:
    """Softmax over the available modalities, separately for each region (SimMLM section 3.1).

    `w[b, m, c] = exp(g[b, m, c]) available[b, m] / sum_k exp(g[b, k, c]) available[b, k]`

    Args:
        gate_values: (b, m, c) floats; (b, m, c, ...) where they vary over space.
        available: (b, m) booleans.

    Returns:
        As `gate_values`, in [0, 1]; sums to 1 over m; exactly 0 for a missing modality. A sample with no modality at
        all gets zeros rather than the NaN of a softmax over nothing.
    """
    mask = unsqueeze_to(available, gate_values.dim())
    # -1e30 stands for minus infinity: its exponential is exactly zero beside any available value, and gradients stay
    # finite where a whole row is missing.
    return torch.softmax(gate_values.masked_fill(~mask, -1e30), dim=1) * mask


def available_by_content(image: Tensor) -> Tensor:
    """Which modalities a batch seems to hold, for callers that cannot say: a channel of zeros counts as missing.

    Guard: in a sample of nothing but zeros (a window outside the head) all modalities count as available, since
    nothing tells them apart and an empty mixture has no meaning.

    Args:
        image: (b, m, h, w, d), or any other spatial rank.

    Returns:
        (b, m) booleans with at least one true in each row.
    """
    seen = (image != 0).flatten(2).any(dim=2)
    return seen | ~seen.any(dim=1, keepdim=True)


def split_views(available: Tensor, samples: int) -> Tensor:
    """Availability (v b, m) of v views of b samples, as (v, b, m)."""
    return available.reshape(-1, samples, available.shape[1])


def unsqueeze_to(values: Tensor, rank: int) -> Tensor:
    """Values of a few leading axes with axes of length 1 behind them, so that they spread over a tensor of `rank`."""
    return values.reshape(list(values.shape) + [1] * (rank - values.dim()))
