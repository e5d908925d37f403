"""SimMLM's mixture with an additional expert that sees all available modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brats_mm.networks.case_gate import CaseGate, make_thumbnail
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.mixing import compute_modality_weights, detect_available, split_views, unsqueeze_to
from brats_mm.networks.mixture import ExpertMixture
from brats_mm.networks.split_cross_sequence import SplitCrossSequenceExpert

FLAIR_ALONE_SHIFT = -1.3
"""Added to the gate value of the cross-sequence expert with FLAIR alone, which lowers its weight from 0.9 to about 0.7.

With 0.9, the result with FLAIR alone is so good that larger subsets score worse in more cases than the rule for new
weights allows (`docs/experiments.md`, weights 0.10.0).
"""


class CrossSequenceMixture(ExpertMixture):
    """Modality experts and a cross-sequence expert, mixed at logit level by one gate.

    The cross-sequence expert contributes to every subset. In SimMLM (section 3.1) the result of a single sequence is
    that of its expert. Inference runs the cross-sequence expert only where the modality experts suspect tumour
    (`inference.coarse_to_fine`). `forward` runs it everywhere.

    Args:
        experts: modality name -> expert from (b, 1, h, w, d) to (b, c, h, w, d).
        cross: the cross-sequence expert, or one for T1ce combined with other sequences and one
            for all other subsets.
        gate: gate over the m modality experts and, last, the cross-sequence expert.
    """

    def __init__(
        self,
        experts: Mapping[str, nn.Module],
        cross: CrossSequenceExpert | SplitCrossSequenceExpert,
        gate: CaseGate,
    ) -> None:
        super().__init__(experts, gate)
        self.cross = cross

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return logits (v b, c, h, w, d) of the brain's bounding box. Takes the arguments of `DMoME.forward`."""
        return self.forward_with_weights(image, available)[0]

    def compute_gate_weights(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return weights (b, m + 1, c) of the modality experts and the cross-sequence expert, summing to 1.

        Args:
            image: (b, m, h, w, d) z-scores of whole brains.
            available: (b, m) booleans. Without it, all-zero channels count as missing.
        """
        if available is None:
            available = detect_available(image)
        return self.compute_thumbnail_weights(make_thumbnail(image), available)

    def compute_thumbnail_weights(self, small: Tensor, available: Tensor) -> Tensor:
        """Return `compute_gate_weights` of thumbnails (b, m, 16, 16, 16).

        Args:
            small: thumbnails (b, m, 16, 16, 16) from `case_gate.make_thumbnail`.
            available: (b, m) booleans.

        Returns:
            Weights (b, m + 1, c).
        """
        hidden = small.masked_fill(~unsqueeze_to(available, small.dim()), 0.0)
        values = shift_flair_alone(self.gate(hidden, available).float(), available)
        return compute_modality_weights(values, extend_availability(available))

    def forward_with_weights(self, image: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (v b, c, h, w, d) and weights (v b, m + 1, c).

        Args:
            image: (b, m, h, w, d) z-scores of whole brains.
            available: (b, m) booleans, or (v b, m) for v views of each sample. Without it, all-zero channels count as
                missing.
        """
        if available is None:
            available = detect_available(image)
        views = split_views(available, image.shape[0])
        contributions = self.compute_contributions(list(image.chunk(image.shape[1], dim=1)), views.any(dim=0))
        small = make_thumbnail(image)
        logits: list[Tensor] = []
        weights: list[Tensor] = []
        for view in views.unbind(0):
            weight = self.compute_thumbnail_weights(small, view)
            fused = self.cross(image, view)
            mixture = unsqueeze_to(weight[:, -1], fused.dim()).to(fused.dtype) * fused
            for modality, contribution in enumerate(contributions):
                if bool(view[:, modality].any()):
                    share = unsqueeze_to(weight[:, modality], contribution.dim()).to(contribution.dtype)
                    mixture = mixture + share * contribution
            logits.append(mixture)
            weights.append(weight)
        return torch.cat(logits), torch.cat(weights)


def extend_availability(available: Tensor) -> Tensor:
    """Extend availability (b, m) to the m + 1 experts. The cross-sequence expert contributes to every subset."""
    return torch.cat([available, available.any(dim=1, keepdim=True)], dim=1)


def shift_flair_alone(values: Tensor, available: Tensor, shift: float = FLAIR_ALONE_SHIFT) -> Tensor:
    """Add `shift` to the last of the gate values (b, m + 1, c) if only FLAIR, the last of the m, is available.

    Args:
        values: (b, m + 1, c) gate values.
        available: (b, m) booleans.
        shift: value to add.

    Returns:
        Gate values of the same shape.
    """
    alone = available[:, -1] & (available.sum(dim=1) == 1)
    joint = values[:, -1:] + shift * alone[:, None, None].to(values.dtype)
    return torch.cat([values[:, :-1], joint], dim=1)
