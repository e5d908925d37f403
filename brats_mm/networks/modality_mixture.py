"""Mixture of modalities with different shapes, such as image and audio or image and text."""

import torch
from torch import Tensor

from brats_mm.networks.mixing import compute_modality_weights, split_views, unsqueeze_to
from brats_mm.networks.mixture import ExpertMixture


class ModalityMixture(ExpertMixture):
    """SimMLM for modalities without a common grid (AV-MNIST and Food-101 in SimMLM's supplement).

    Each expert maps its modality's tensor (b, ...) to (b, c). The gate maps the list of all tensors, zero if missing,
    to gate values (b, m, 1) or (b, m, c), for example `gating_parts.PartsGate`. Availability is required, because a
    black image cannot be distinguished from a missing one.
    """

    def forward(self, inputs: list[Tensor], available: Tensor) -> Tensor:
        """Return the logits of the mixture.

        Args:
            inputs: one tensor (b, ...) per modality in the order of the experts, floating-point or integer (tokens).
            available: (b, m) booleans, at least one true per row, or (v b, m) for v views of each sample, grouped by
                view. Each expert runs once per sample.

        Returns:
            Logits (b, c), or (v b, c) for v views.
        """
        return self.forward_with_weights(inputs, available)[0]

    def compute_gate_weights(self, inputs: list[Tensor], available: Tensor) -> Tensor:
        """Return the weights (b, m, c), which sum to 1 over the available modalities, without running any expert.

        Args:
            inputs: one tensor (b, ...) per modality, in the order of the experts.
            available: (b, m) booleans.
        """
        hidden: list[Tensor] = []
        for modality, channel in enumerate(inputs):
            hidden.append(channel.masked_fill(~unsqueeze_to(available[:, modality], channel.dim()), 0))
        return compute_modality_weights(self.gate(hidden).float(), available)

    def forward_with_weights(self, inputs: list[Tensor], available: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (v b, c) and weights (v b, m, c). Takes the arguments of `forward`."""
        views = split_views(available, inputs[0].shape[0])
        weights: list[Tensor] = []
        for view in views.unbind(0):
            weights.append(self.compute_gate_weights(inputs, view))  # noqa: PERF401 (TorchScript)
        return self.mix(inputs, views, weights), torch.cat(weights)
