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
            available: (b, m) booleans, at least one true a row. Without it, channels of zeros count as missing. With
                (v b, m), v views of each sample are mixed, first all samples in the first view; each expert still
                runs once a sample.

        Returns:
            (b, c, h, w, d) logits in the order WT, TC, ET; (v b, c, h, w, d) of v views.
        """
        return self.forward_with_weights(image, available)[0]

    def gate_weights(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """How much each expert counts, (b, m, c), summing to 1 over the available modalities; runs no expert."""
        if available is None:
            available = available_by_content(image)
        hidden = image.masked_fill(~available[:, :, None, None, None], 0.0)
        return modality_weights(self.gate(hidden).float(), available)

    def forward_with_weights(self, image: Tensor, available: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (v b, c, h, w, d) and weights (v b, m, c) of one pass; arguments as in `forward`."""
        if available is None:
            available = available_by_content(image)
        views = available.reshape(-1, image.shape[0], available.shape[1])  # (v b m)
        contributions = self.contributions(image, views.any(dim=0))
        logits: list[Tensor] = []
        weights: list[Tensor] = []
        for view in views.unbind(0):
            weight = self.gate_weights(image, view)
            mixture = torch.zeros(0)
            for channel, contribution in enumerate(contributions):
                if bool(view[:, channel].any()):
                    weighted = weight[:, channel][:, :, None, None, None].to(contribution.dtype) * contribution
                    mixture = weighted if mixture.numel() == 0 else mixture + weighted
            logits.append(self.finish(mixture))
            weights.append(weight)
        return torch.cat(logits), torch.cat(weights)

    def contributions(self, image: Tensor, needed: Tensor) -> list[Tensor]:
        """What each expert makes of its channel, (b, c, h, w, d): zeros for samples that do not need it.

        Args:
            image: (b, m, h, w, d).
            needed: (b, m) booleans; an expert that no sample needs is not run and leaves an empty tensor.
        """
        made: list[Tensor] = []
        channel = 0
        for expert in self.experts.values():
            rows = torch.nonzero(needed[:, channel]).flatten()
            if rows.numel() == 0:
                made.append(image.new_zeros(0))
            else:
                contribution = expert(image[rows, channel : channel + 1])
                if rows.numel() < image.shape[0]:
                    whole = contribution.new_zeros([image.shape[0]] + list(contribution.shape[1:]))  # noqa: RUF005 (TorchScript)
                    contribution = whole.index_add(0, rows, contribution)
                made.append(contribution)
            channel += 1
        return made

    def forward_subsets(self, image: Tensor, subsets: Tensor) -> tuple[Tensor, Tensor]:
        """The mixtures of several availability sets of one image, each expert run once at most.

        Args:
            image: (b, m, h, w, d).
            subsets: (s, m) booleans, at least one true a row; each row holds for the whole batch.

        Returns:
            Logits (s, b, c, h, w, d) and weights (s, b, m, c), equal to `forward_with_weights` of each set.
        """
        logits, weights = self.forward_with_weights(image, subsets.repeat_interleave(image.shape[0], dim=0))
        sets = [subsets.shape[0], image.shape[0]]
        return logits.reshape(sets + list(logits.shape[1:])), weights.reshape(sets + list(weights.shape[1:]))
