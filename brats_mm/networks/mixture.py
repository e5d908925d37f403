"""What every mixture of modality experts has in common: experts are run once each, and their answers are weighed."""

from abc import ABC
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brats_mm.networks.mixing import unsqueeze_to


class ExpertMixture(nn.Module, ABC):
    """One expert a modality, a gate that weighs them, and the sum; how inputs arrive is the subclasses' affair.

    Experts, gates, the number of modalities and what is answered are free: a dense answer (b, c, ...) of any spatial
    rank, or one of a whole sample, (b, c). The experts' outputs are mixed (logits in SimMLM), and
    `output_layer` turns the mixture into logits. It is the identity in the paper. Annotations are limited to those that
    TorchScript knows.

    Args:
        experts: modality name -> module; the order is that of the inputs.
        gate: module that returns gate values (b, m, c), or (b, m, 1) where all outputs share a weight; with weights
            that vary over space, (b, m, c, ...).
        output_layer: module from the mixture to logits.
    """

    def __init__(
        self, experts: Mapping[str, nn.Module], gate: nn.Module, output_layer: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleDict(experts)
        self.gate = gate
        self.output_layer = nn.Identity() if output_layer is None else output_layer

    def contributions(self, inputs: list[Tensor], needed: Tensor) -> list[Tensor]:
        """What each expert makes of its input, (b, c, ...): zeros for samples that do not need it.

        Args:
            inputs: one a modality, (b, ...).
            needed: (b, m) booleans; an expert that no sample needs is not run and leaves an empty tensor.
        """
        made: list[Tensor] = []
        modality = 0
        for expert in self.experts.values():
            given = inputs[modality]
            rows = torch.nonzero(needed[:, modality]).flatten()
            if rows.numel() == 0:
                made.append(torch.zeros(0, device=given.device))
            else:
                contribution = expert(given[rows])
                if rows.numel() < given.shape[0]:
                    whole = contribution.new_zeros([given.shape[0]] + list(contribution.shape[1:]))  # noqa: RUF005 (TorchScript)
                    contribution = whole.index_add(0, rows, contribution)
                made.append(contribution)
            modality += 1
        return made

    def mix(self, inputs: list[Tensor], views: Tensor, weights: list[Tensor]) -> Tensor:
        """Logits of several views of the same samples, each expert run once a sample.

        Args:
            inputs: one a modality, (b, ...).
            views: (v, b, m) booleans, at least one true for each sample of each view.
            weights: of each view, (b, m, c) or (b, m, c, ...), zero for missing modalities.

        Returns:
            (v b, c, ...), first all samples in the first view.
        """
        contributions = self.contributions(inputs, views.any(dim=0))
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
