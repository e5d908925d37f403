"""Pure mathematics of the mixture: availability mask, softmax over modalities, weighted sum.

Annotations are plain tensors, with shapes in words, because these functions are compiled by TorchScript when a
bundle is exported, which knows no other annotation.
"""

import torch
from torch import Tensor


def modality_weights(gate_values: Tensor, available: Tensor) -> Tensor:
    """Softmax over the available modalities, separately for each region (SimMLM section 3.1).

    `w[b, m, c] = exp(g[b, m, c]) available[b, m] / sum_k exp(g[b, k, c]) available[b, k]`

    Args:
        gate_values: (b, m, c) floats.
        available: (b, m) booleans.

    Returns:
        (b, m, c) in [0, 1]; sums to 1 over m; exactly 0 for a missing modality. A sample with no modality at all
        gets zeros rather than the NaN of a softmax over nothing.
    """
    mask = available.unsqueeze(-1)
    # -1e30 stands for minus infinity: its exponential is exactly zero beside any available value, and gradients stay
    # finite where a whole row is missing.
    return torch.softmax(gate_values.masked_fill(~mask, -1e30), dim=1) * mask


def mix(contributions: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over modalities: `o[b, c, v] = sum_m w[b, m, c] o[b, m, c, v]` (SimMLM section 3.1).

    Args:
        contributions: (b, m, c, h, w, d), one map of each expert; those of a missing modality are ignored.
        weights: (b, m, c), or (b, m, 1) where all channels share a weight.

    Returns:
        (b, c, h, w, d).
    """
    return (weights[:, :, :, None, None, None] * contributions).sum(dim=1)


def available_by_content(image: Tensor) -> Tensor:
    """Which modalities a batch seems to hold, for callers that cannot say: a channel of zeros counts as missing.

    Guard: in a sample of nothing but zeros (a window outside the head) all modalities count as available, since
    nothing tells them apart and an empty mixture has no meaning.

    Args:
        image: (b, m, h, w, d).

    Returns:
        (b, m) booleans with at least one true in each row.
    """
    seen = (image != 0).flatten(2).any(dim=2)
    return seen | ~seen.any(dim=1, keepdim=True)
