"""A mixture whose modalities are tensors of their own shapes: an image and a sound, a picture and its title."""

import torch
from torch import Tensor

from brats_mm.networks.mixing import modality_weights, split_views, unsqueeze_to
from brats_mm.networks.mixture import ExpertMixture


class ModalityMixture(ExpertMixture):
    """SimMLM for modalities that share no grid (avMNIST, Food-101; SimMLM, supplement).

    Each expert is a module from its own modality's tensor (b, ...) to (b, c); the gate is one from the list of them
    all, with zeros in the place of what is missing, to gate values (b, m, 1) or (b, m, c), such as
    `gating_parts.PartsGate`.
    Availability is always said: nothing tells a black picture from a missing one.
    """

    def forward(self, inputs: list[Tensor], available: Tensor) -> Tensor:
        """Logits of the mixture.

        Args:
            inputs: one a modality in the order of the experts, (b, ...), floating-point or integers (tokens).
            available: (b, m) booleans, at least one true a row; (v b, m) for v views of each sample, first all samples
                in the first view; each expert still runs once a sample.

        Returns:
            (b, c); (v b, c) of v views.
        """
        return self.forward_with_weights(inputs, available)[0]

    def gate_weights(self, inputs: list[Tensor], available: Tensor) -> Tensor:
        """How much each expert counts, (b, m, c), summing to 1 over the available modalities; runs no expert."""
        hidden: list[Tensor] = []
        for modality, given in enumerate(inputs):
            hidden.append(given.masked_fill(~unsqueeze_to(available[:, modality], given.dim()), 0))
        return modality_weights(self.gate(hidden).float(), available)

    def forward_with_weights(self, inputs: list[Tensor], available: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (v b, c) and weights (v b, m, c) of one pass; arguments as in `forward`."""
        views = split_views(available, inputs[0].shape[0])
        weights: list[Tensor] = []
        for view in views.unbind(0):
            weights.append(self.gate_weights(inputs, view))  # noqa: PERF401 (TorchScript)
        return self.mix(inputs, views, weights), torch.cat(weights)
