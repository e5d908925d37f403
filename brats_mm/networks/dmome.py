"""DMoME: dynamic mixture of modality experts on stacked channels (SimMLM section 3.1)."""

import torch
from torch import Tensor

from brats_mm.networks.mixing import compute_modality_weights, detect_available, split_views, unsqueeze_to
from brats_mm.networks.mixture import ExpertMixture


class DMoME(ExpertMixture):
    """Mixture of modalities that share one grid, as channels of one tensor.

    Experts map (b, 1, ...) to (b, c, ...) or (b, c), and the gate maps (b, m, ...) to gate values (see
    `ExpertMixture`). `levels.py` has the modules for other mixing levels. For modalities of different shapes, use
    `modality_mixture.ModalityMixture`.
    """

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return the logits of the mixture.

        Args:
            image: (b, m, h, w, d), or any other spatial rank. Channels of missing modalities are ignored.
            available: (b, m) booleans, at least one true per row. Without it, all-zero channels count as missing. Use
                (v b, m) for v views of each sample, grouped by view. Each expert runs once per sample.

        Returns:
            Logits (b, c, h, w, d), or (v b, c, h, w, d) for v views. The presets order regions WT, TC, ET.
        """
        return self.forward_with_weights(image, available)[0]

    def compute_gate_weights(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return the weights (b, m, c), which sum to 1 over the available modalities, without running any expert.

        Args:
            image: (b, m, h, w, d), or any other spatial rank.
            available: (b, m) booleans. Without it, all-zero channels count as missing.
        """
        if available is None:
            available = detect_available(image)
        hidden = image.masked_fill(~unsqueeze_to(available, image.dim()), 0.0)
        return compute_modality_weights(self.gate(hidden).float(), available)

    def forward_with_weights(self, image: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (v b, c, h, w, d) and weights (v b, m, c). Takes the arguments of `forward`."""
        if available is None:
            available = detect_available(image)
        views = split_views(available, image.shape[0])
        weights: list[Tensor] = []
        for view in views.unbind(0):
            weights.append(self.compute_gate_weights(image, view))  # noqa: PERF401 (TorchScript)
        return self.mix(list(image.chunk(image.shape[1], dim=1)), views, weights), torch.cat(weights)
