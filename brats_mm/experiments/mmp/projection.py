"""MMP's projection: tokens of a masked modality from those of the available modalities.

Source: Nezakati, Reza, Patil, Solh, Asif, "MMP", arXiv 2410.03010. In the paper, each modality has a small set of
aggregated tokens, cross-attention relates those of the available modalities to those of the masked one, and an MLP
returns projected tokens. It does not state how tokens are aggregated, how many there are, or how they are expanded
again. The design for feature maps on one grid:

    aggregate   A_j = softmax(Q_j T_j^T / sqrt d) T_j              Q_j (k, d) learned: attention pooling, k tokens
    relate      C_i = P_i + CrossAttention(P_i; all available A_j)  P_i (k, d) learned, per masked modality
    spread      s(n) = softmax(m(n) C_i^T / sqrt d) C_i             m(n): mean of T_j(n) over available modalities
    project     T'_i(n) = MLP_i([m(n), s(n)])                       two layers with GELU

m(n) provides the position, because the sequences of a case are registered. The paper's MLP sees related tokens only.
`mean=False` gives it s(n) alone, and m(n) remains the query. Windows may have any size. The cost n k d is
linear in the number of tokens.
"""

import torch
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


INITIAL_SPREAD = 0.02
"""Initial standard deviation of learned tokens, as is usual in transformers."""


def aggregate(queries: Tensor, tokens: Tensor) -> Tensor:
    """Pool tokens (b, n, d) by attention with queries (k, d) to (b, k, d): `softmax(Q T^T / sqrt d) T`."""
    return attend(queries.expand(tokens.shape[0], -1, -1), tokens, tokens)


def average_available(tokens: Tensor, available: Tensor) -> Tensor:
    """Average tokens (b, m, n, d) over the available modalities, (b, m) booleans, to (b, n, d)."""
    share = available.to(tokens.dtype)[:, :, None, None]
    return (tokens * share).sum(dim=1) / share.sum(dim=1).clamp(min=1)


class Projection(nn.Module):
    """Projects tokens of every modality from the available ones.

    Args:
        modalities: m, number of modalities.
        width: d, features per token, a multiple of `heads`.
        aggregated: k, aggregated tokens per modality.
        heads: heads of the cross-attention.
        hidden: hidden features of the MLP, as a multiple of the width.
        mean: whether the MLP sees the mean m(n) in addition to s(n).

    Shapes:
        tokens (b, m, n, d), of which unavailable modalities are ignored. available (b, m) booleans, at least one true
        per row. Output (b, m, n, d). Discard the tokens projected for available modalities.
    """

    def __init__(
        self,
        modalities: int,
        width: int,
        *,
        aggregated: int = 16,
        heads: int = 4,
        hidden: int = 2,
        mean: bool = True,
    ) -> None:
        super().__init__()
        self.mean = mean
        self.queries = nn.Parameter(INITIAL_SPREAD * torch.randn(modalities, aggregated, width))
        self.own = nn.Parameter(INITIAL_SPREAD * torch.randn(modalities, aggregated, width))
        self.relate = nn.ModuleList(CrossAttention(width, heads=heads) for _ in range(modalities))
        self.project = nn.ModuleList(
            nn.Sequential(nn.Linear((1 + mean) * width, hidden * width), nn.GELU(), nn.Linear(hidden * width, width))
            for _ in range(modalities)
        )

    def forward(self, tokens: Tensor, available: Tensor) -> Tensor:
        batch, modalities, _, width = tokens.shape
        count = self.queries.shape[1]
        pooled = torch.stack([aggregate(self.queries[j], tokens[:, j]) for j in range(modalities)], dim=1)  # (b m k d)
        allowed = available.repeat_interleave(count, dim=1)  # (b mk)
        position = average_available(tokens, available)  # (b n d)
        outputs = []
        for index, (relate, project) in enumerate(zip(self.relate, self.project, strict=True)):
            query = self.own[index].expand(batch, -1, -1)
            summary = query + relate(query, pooled.reshape(batch, modalities * count, width), allowed)  # (b k d)
            spread = attend(position, summary, summary)  # (b n d)
            outputs.append(project(torch.cat([position, spread], dim=2) if self.mean else spread))
        return torch.stack(outputs, dim=1)  # (b m n d)
