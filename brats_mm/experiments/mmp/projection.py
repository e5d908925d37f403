"""MMP's projection: the tokens of a masked modality, made from those of the available ones.

Source: Nezakati, Reza, Patil, Solh, Asif, "MMP", arXiv 2410.03010. The paper says that each modality has a small set of
aggregated tokens, that cross-attention links those of the available modalities with those of the masked one, and that
an MLP gives projected tokens of the masked modality's shape. How tokens are aggregated, how many they are, and how few
of them become many again was not found. What is chosen here, for feature maps that lie on one grid:

    aggregate   A_j = softmax(Q_j T_j^T / sqrt d) T_j             Q_j (k, d) learnt: attention pooling, k tokens
    relate      C_i = P_i + CrossAttention(P_i; all A_j at hand)    P_i (k, d) learnt: the masked modality's own
    spread      s(n) = softmax(m(n) C_i^T / sqrt d) C_i            m(n): mean over the modalities at hand of T_j(n)
    project     T'_i(n) = MLP_i([m(n), s(n)])                        two layers, GELU between

The place enters through m(n), since MR sequences of a case are registered: without it, k tokens could not say where
things are, and a window may have any size. The cost is linear in the number of tokens, n k d.
"""

import torch
from torch import Tensor, nn

from brats_mm.experiments.mmp.attention import CrossAttention, attend

INITIAL_SPREAD = 0.02
"""Standard deviation of learnt tokens at the start: the usual one of transformers."""


def aggregate(queries: Tensor, tokens: Tensor) -> Tensor:
    """Attention pooling: `softmax(Q T^T / sqrt d) T`, tokens (b, n, d) and queries (k, d) to (b, k, d)."""
    return attend(queries.expand(tokens.shape[0], -1, -1), tokens, tokens)


def mean_of_available(tokens: Tensor, available: Tensor) -> Tensor:
    """The mean over the modalities at hand: (b, m, n, d) and (b, m) booleans to (b, n, d)."""
    share = available.to(tokens.dtype)[:, :, None, None]
    return (tokens * share).sum(dim=1) / share.sum(dim=1).clamp(min=1)


class Projection(nn.Module):
    """Projected tokens of every modality from those of the others that are at hand.

    Args:
        modalities: m.
        width: d, features a token; a multiple of `heads`.
        aggregated: k, aggregated tokens a modality.
        heads: of the cross-attention.
        hidden: features between the layers of the MLP, as a multiple of the width.

    Shapes:
        tokens (b, m, n, d), of which those that are not available have no effect; available (b, m) booleans, at least
        one true a row; output (b, m, n, d). The tokens projected for a modality that is available are made from it too,
        and are of no use.
    """

    def __init__(self, modalities: int, width: int, *, aggregated: int = 16, heads: int = 4, hidden: int = 2) -> None:
        super().__init__()
        self.queries = nn.Parameter(INITIAL_SPREAD * torch.randn(modalities, aggregated, width))
        self.own = nn.Parameter(INITIAL_SPREAD * torch.randn(modalities, aggregated, width))
        self.relate = nn.ModuleList(CrossAttention(width, heads=heads) for _ in range(modalities))
        self.project = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, hidden * width), nn.GELU(), nn.Linear(hidden * width, width))
            for _ in range(modalities)
        )

    def forward(self, tokens: Tensor, available: Tensor) -> Tensor:
        batch, modalities, _, width = tokens.shape
        count = self.queries.shape[1]
        pooled = torch.stack([aggregate(self.queries[j], tokens[:, j]) for j in range(modalities)], dim=1)  # (b m k d)
        allowed = available.repeat_interleave(count, dim=1)  # (b mk)
        place = mean_of_available(tokens, available)  # (b n d)
        made = []
        for index, (relate, project) in enumerate(zip(self.relate, self.project, strict=True)):
            own = self.own[index].expand(batch, -1, -1)
            summary = own + relate(own, pooled.reshape(batch, modalities * count, width), allowed)  # (b k d)
            made.append(project(torch.cat([place, attend(place, summary, summary)], dim=2)))
        return torch.stack(made, dim=1)  # (b m n d)
