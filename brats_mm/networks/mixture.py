"""Base class of mixtures of modality experts."""

from abc import ABC
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brats_mm.networks.mixing import unsqueeze_to


class ExpertMixture(nn.Module, ABC):
    """One expert per modality, a gate, and the weighted sum. Subclasses define the input format.

    Expert outputs may be dense, (b, c, ...) of any spatial rank, or one per sample, (b, c). The gate weights the
    outputs (logits in SimMLM), and `output_layer` turns the mixture into logits. In the paper it is the identity.
    Annotations are limited to those that TorchScript supports.

    Args:
        experts: modality name -> module, in the order of the inputs.
        gate: module that returns gate values (b, m, c), or (b, m, 1) if all outputs share a weight, or (b, m, c, ...)
            if weights vary over space.
        output_layer: module from the mixture to logits.
    """

    def __init__(
        self, experts: Mapping[str, nn.Module], gate: nn.Module, output_layer: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleDict(experts)
        self.gate = gate
        self.output_layer = nn.Identity() if output_layer is None else output_layer

    def compute_contributions(self, inputs: list[Tensor], required: Tensor) -> list[Tensor]:
        """Run each expert on the samples that need it.

        Args:
            inputs: one tensor (b, ...) per modality.
            required: (b, m) booleans.

        Returns:
            One tensor (b, c, ...) per expert, zero for samples that do not need it. An expert that no sample needs does
            not run, and its tensor is empty.
        """
        results: list[Tensor] = []
        modality = 0
        for expert in self.experts.values():
            channel = inputs[modality]
            rows = torch.nonzero(required[:, modality]).flatten()
            if rows.numel() == 0:
                results.append(torch.zeros(0, device=channel.device))
            else:
                contribution = expert(channel[rows])
                if rows.numel() < channel.shape[0]:
                    padded = contribution.new_zeros([channel.shape[0]] + list(contribution.shape[1:]))  # noqa: RUF005 (TorchScript)
                    contribution = padded.index_add(0, rows, contribution)
                results.append(contribution)
            modality += 1
        return results

    def mix(self, inputs: list[Tensor], views: Tensor, weights: list[Tensor]) -> Tensor:
        """Mix several views of the same samples. Each expert runs once per sample.

        Args:
            inputs: one tensor (b, ...) per modality.
            views: (v, b, m) booleans, at least one true for each sample of each view.
            weights: weights (b, m, c) or (b, m, c, ...) per view, zero for missing modalities.

        Returns:
            Logits (v b, c, ...), grouped by view.
        """
        contributions = self.compute_contributions(inputs, views.any(dim=0))
        logits: list[Tensor] = []
        for number, view in enumerate(views.unbind(0)):
            mixture = torch.zeros(0)
            for modality, contribution in enumerate(contributions):
                if bool(view[:, modality].any()):
                    weight = unsqueeze_to(weights[number][:, modality], contribution.dim())
                    weighted = weight.to(contribution.dtype) * contribution
                    mixture = weighted if mixture.numel() == 0 else mixture + weighted
            logits.append(self.output_layer(mixture))
        return torch.cat(logits)
