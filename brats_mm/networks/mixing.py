"""Availability and softmax of the mixture.

TorchScript compiles these functions, so annotations are plain tensors and shapes are in the docstrings.
"""

import torch
from torch import Tensor


def compute_modality_weights(gate_values: Tensor, available: Tensor) -> Tensor:
    """Softmax over the available modalities, separately for each region (SimMLM section 3.1).

    `w[b, m, c] = exp(g[b, m, c]) available[b, m] / sum_k exp(g[b, k, c]) available[b, k]`

    Args:
        gate_values: (b, m, c) floats, or (b, m, c, ...) if they vary over space.
        available: (b, m) booleans.

    Returns:
        Weights of the same shape in [0, 1]. They sum to 1 over m and are exactly 0 for missing modalities. A sample
        without modalities gets zeros.
    """
    mask = unsqueeze_to(available, gate_values.dim())
    # -1e30 instead of minus infinity: the weight is exactly 0, and gradients stay finite if a whole row is missing.
    return torch.softmax(gate_values.masked_fill(~mask, -1e30), dim=1) * mask


def detect_available(image: Tensor) -> Tensor:
    """Derive availability from content: an all-zero channel counts as missing.

    If every channel of a sample is zero, as in a window outside the head, all modalities count as available. A mixture
    of no experts is undefined.

    Args:
        image: (b, m, h, w, d), or any other spatial rank.

    Returns:
        (b, m) booleans with at least one true per row.
    """
    has_content = (image != 0).flatten(2).any(dim=2)
    return has_content | ~has_content.any(dim=1, keepdim=True)


def split_views(available: Tensor, samples: int) -> Tensor:
    """Reshape availability (v b, m) of v views of b samples to (v, b, m).

    Args:
        available: (v b, m) booleans, grouped by view.
        samples: b, number of samples.
    """
    return available.reshape(-1, samples, available.shape[1])


def unsqueeze_to(values: Tensor, rank: int) -> Tensor:
    """Append axes of length 1 up to `rank`, for broadcasting.

    Args:
        values: tensor of at most `rank` axes.
        rank: number of axes of the result.
    """
    return values.reshape(list(values.shape) + [1] * (rank - values.dim()))
