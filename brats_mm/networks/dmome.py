"""DMoME: the dynamic mixture of modality experts, of experts and a gate that are passed in (SimMLM section 3.1)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brats_mm.networks.mixing import available_by_content, modality_weights


class DMoME(nn.Module):
    """One expert a modality; a gate weighs them; only experts of available modalities run.

    What is mixed is what the experts return (logits in the paper); `finish` turns the mixture into logits, and is
    the identity in the paper. The parts of the other mixing levels stand in `levels.py`.

    Args:
        experts: modality name -> module from (b, 1, ...) to (b, c, ...); the order is the channel order of the input.
        gate: module from (b, m, ...) to gate values (b, m, c), or (b, m, 1) where all channels share a weight.
        finish: module from the mixture to logits.
    """

    def __init__(self, experts: Mapping[str, nn.Module], gate: nn.Module, finish: nn.Module | None = None) -> None:
        super().__init__()
        self.experts = nn.ModuleDict(experts)
        self.gate = gate
        self.finish = nn.Identity() if finish is None else finish

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Logits of the mixture.

        Args:
            image: (b, m, h, w, d); what stands in the channel of a missing modality has no effect.
            available: (b, m) booleans, at least one true a row. Without it, channels of zeros count as missing.

        Returns:
            (b, c, h, w, d) logits in the order WT, TC, ET.
        """
        return self.forward_with_weights(image, available)[0]

    def gate_weights(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """How much each expert counts, (b, m, c), summing to 1 over the available modalities; runs no expert."""
        if available is None:
            available = available_by_content(image)
        hidden = image.masked_fill(~available[:, :, None, None, None], 0.0)
        return modality_weights(self.gate(hidden).float(), available)

    def forward_with_weights(self, image: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (b, c, h, w, d) and weights (b, m, c) of one pass; arguments as in `forward`."""
        if available is None:
            available = available_by_content(image)
        weights = self.gate_weights(image, available)
        mixture = torch.zeros(0)
        channel = 0
        for expert in self.experts.values():
            rows = torch.nonzero(available[:, channel]).flatten()
            if rows.numel() > 0:
                contribution = expert(image[rows, channel : channel + 1])
                weighted = weights[rows, channel][:, :, None, None, None].to(contribution.dtype) * contribution
                if mixture.numel() == 0:
                    mixture = weighted.new_zeros([image.shape[0]] + list(weighted.shape[1:]))  # noqa: RUF005 (TorchScript)
                mixture = mixture.index_add(0, rows, weighted)
            channel += 1
        return self.finish(mixture), weights

    def forward_subsets(self, image: Tensor, subsets: Tensor) -> tuple[Tensor, Tensor]:
        """The mixtures of several availability sets of one image, each expert run once at most.

        Args:
            image: (b, m, h, w, d).
            subsets: (s, m) booleans, at least one true a row; each row holds for the whole batch.

        Returns:
            Logits (s, b, c, h, w, d) and weights (s, b, m, c), equal to `forward_with_weights` of each set.
        """
        needed = subsets.any(dim=0).tolist()
        contributions = {
            channel: expert(image[:, channel : channel + 1])
            for channel, expert in enumerate(self.experts.values())
            if needed[channel]
        }
        logits, weights = [], []
        for subset in subsets:
            weight = self.gate_weights(image, subset.expand(image.shape[0], -1))
            mixture = sum(
                weight[:, channel][:, :, None, None, None].to(contributions[channel].dtype) * contributions[channel]
                for channel in torch.nonzero(subset).flatten().tolist()
            )
            logits.append(self.finish(mixture))
            weights.append(weight)
        return torch.stack(logits), torch.stack(weights)
