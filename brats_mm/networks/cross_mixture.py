"""SimMLM's mixture with an additional expert that sees all available modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brats_mm.networks.case_gate import CaseGate, thumbnail
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.mixing import available_by_content, modality_weights, split_views, unsqueeze_to
from brats_mm.networks.mixture import ExpertMixture


class CrossSequenceMixture(ExpertMixture):
    """Modality experts and a cross-sequence expert, mixed at logit level by one gate.

    The cross-sequence expert contributes to all subsets but FLAIR alone, for which the result is that of FLAIR's
    expert, as in SimMLM (section 3.1). Inference runs the cross-sequence expert only where the modality experts suspect
    tumour (`inference.coarse_to_fine`). `forward` runs it everywhere.

    Args:
        experts: modality name -> expert from (b, 1, h, w, d) to (b, c, h, w, d).
        cross: the cross-sequence expert.
        gate: gate over the m modality experts and, last, the cross-sequence expert.
    """

    def __init__(self, experts: Mapping[str, nn.Module], cross: CrossSequenceExpert, gate: CaseGate) -> None:
        super().__init__(experts, gate)
        self.cross = cross

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return logits (v b, c, h, w, d) of the brain's bounding box. Takes the arguments of `DMoME.forward`."""
        return self.forward_with_weights(image, available)[0]

    def gate_weights(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return weights (b, m + 1, c) of the modality experts and the cross-sequence expert, summing to 1."""
        if available is None:
            available = available_by_content(image)
        return self.weights_of(thumbnail(image), available)

    def weights_of(self, small: Tensor, available: Tensor) -> Tensor:
        """Return `gate_weights` of thumbnails (b, m, 16, 16, 16)."""
        hidden = small.masked_fill(~unsqueeze_to(available, small.dim()), 0.0)
        return modality_weights(self.gate(hidden, available).float(), expert_availability(available))

    def forward_with_weights(self, image: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (v b, c, h, w, d) and weights (v b, m + 1, c)."""
        if available is None:
            available = available_by_content(image)
        views = split_views(available, image.shape[0])
        contributions = self.contributions(list(image.chunk(image.shape[1], dim=1)), views.any(dim=0))
        small = thumbnail(image)
        logits: list[Tensor] = []
        weights: list[Tensor] = []
        for view in views.unbind(0):
            weight = self.weights_of(small, view)
            mixture = torch.zeros(0)
            if bool(cross_takes_part(view).any()):
                fused = self.cross(image, view)
                mixture = unsqueeze_to(weight[:, -1], fused.dim()).to(fused.dtype) * fused
            for modality, contribution in enumerate(contributions):
                if bool(view[:, modality].any()):
                    share = unsqueeze_to(weight[:, modality], contribution.dim()).to(contribution.dtype)
                    weighted = share * contribution
                    mixture = weighted if mixture.numel() == 0 else mixture + weighted
            logits.append(mixture)
            weights.append(weight)
        return torch.cat(logits), torch.cat(weights)


def expert_availability(available: Tensor) -> Tensor:
    """Extend availability (b, m) to the m + 1 experts."""
    return torch.cat([available, cross_takes_part(available)[:, None]], dim=1)


def cross_takes_part(available: Tensor) -> Tensor:
    """Return whether the cross-sequence expert contributes, (b,), for availability (b, m) with FLAIR last.

    It does not contribute to FLAIR alone. It would improve FLAIR so much that larger subsets would often score worse
    (`docs/experiments.md`, weights 0.9.0).
    """
    return available[:, :-1].any(dim=1)
