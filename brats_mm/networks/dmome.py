"""DMoME: the dynamic mixture of modality experts on stacked channels, of given parts (SimMLM section 3.1)."""

import torch
from torch import Tensor

from brats_mm.networks.mixing import available_by_content, modality_weights, split_views, unsqueeze_to
from brats_mm.networks.mixture import ExpertMixture


class DMoME(ExpertMixture):
    """A mixture whose modalities share one grid and arrive as the channels of one tensor, as MRI sequences do.

    The experts are modules from (b, 1, ...) to (b, c, ...) or (b, c), the gate is one from (b, m, ...) to gate values;
    see `ExpertMixture`. The parts of the other mixing levels stand in `levels.py`. Modalities of different shapes are
    for `modality_mixture.ModalityMixture`.
    """

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Logits of the mixture.

        Args:
            image: (b, m, h, w, d), or any other spatial rank; what stands in the channel of a missing modality has no
                effect.
            available: (b, m) booleans, at least one true a row. Without it, channels of zeros count as missing. With
                (v b, m), v views of each sample are mixed, first all samples in the first view; each expert still
                runs once a sample.

        Returns:
            (b, c, h, w, d) logits, in the order WT, TC, ET for our presets; (v b, c, h, w, d) of v views.
        """
        return self.forward_with_weights(image, available)[0]

    def gate_weights(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """How much each expert counts, (b, m, c), summing to 1 over the available modalities; runs no expert."""
        if available is None:
            available = available_by_content(image)
        hidden = image.masked_fill(~unsqueeze_to(available, image.dim()), 0.0)
        return modality_weights(self.gate(hidden).float(), available)

    def forward_with_weights(self, image: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (v b, c, h, w, d) and weights (v b, m, c) of one pass; arguments as in `forward`."""
        if available is None:
            available = available_by_content(image)
        views = split_views(available, image.shape[0])
        weights: list[Tensor] = []
        for view in views.unbind(0):
            weights.append(self.gate_weights(image, view))  # noqa: PERF401 (TorchScript)
        return self.mix(list(image.chunk(image.shape[1], dim=1)), views, weights), torch.cat(weights)
