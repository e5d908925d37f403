"""Scaled dot-product attention between small sets of tokens."""

import torch.nn.functional as F
from torch import Tensor, nn


def attend(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return `softmax(q k^T / sqrt(d)) v` (Vaswani et al. 2017, eq. 1).

    Args:
        queries: (..., n, d).
        keys: (..., k, d).
        values: (..., k, e).
        allowed: (..., k) booleans, the keys to attend to, at least one true.

    Returns:
        (..., n, e).
    """
    mask = None if allowed is None else allowed.unsqueeze(-2)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


class CrossAttention(nn.Module):
    """Multi-head attention with projections of queries, keys, values and output.

    Args:
        width: features per token, a multiple of `heads`.
        heads: number of heads.

    Shapes: queries (b, n, width), tokens (b, k, width), allowed (b, k). Output (b, n, width).
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, queries: Tensor, tokens: Tensor, allowed: Tensor) -> Tensor:
        attended = attend(
            self._split(self.query(queries)),
            self._split(self.key(tokens)),
            self._split(self.value(tokens)),
            allowed.unsqueeze(1),
        )  # (b h n width/h)
        output: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return output

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        return tokens.reshape(batch, count, self.heads, width // self.heads).transpose(1, 2)  # (b h n width/h)
