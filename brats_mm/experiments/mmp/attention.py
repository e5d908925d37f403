"""Scaled dot-product attention of a few tokens on a few others, written out."""

import torch
from torch import Tensor, nn


def attend(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None = None) -> Tensor:
    """`softmax(q k^T / sqrt(d)) v` (Vaswani et al. 2017, eq. 1).

    Args:
        queries: (..., n, d).
        keys: (..., k, d).
        values: (..., k, e).
        allowed: (..., k) booleans, at least one true; which of the k may be looked at.

    Returns:
        (..., n, e).
    """
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5  # (... n k)
    if allowed is not None:
        # The least number that the type knows, float16's too: its exponential is exactly zero beside any other score.
        scores = scores.masked_fill(~allowed.unsqueeze(-2), torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1) @ values


class CrossAttention(nn.Module):
    """Multi-head attention with projections of queries, keys and values, and of what comes out.

    Args:
        width: features a token, a multiple of `heads`.
        heads: the width is split among so many.

    Shapes:
        queries (b, n, width), tokens (b, k, width), allowed (b, k); output (b, n, width).
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, queries: Tensor, tokens: Tensor, allowed: Tensor) -> Tensor:
        found = attend(
            self._split(self.query(queries)),
            self._split(self.key(tokens)),
            self._split(self.value(tokens)),
            allowed.unsqueeze(1),
        )  # (b h n width/h)
        made: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return made

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        return tokens.reshape(batch, count, self.heads, width // self.heads).transpose(1, 2)  # (b h n width/h)
