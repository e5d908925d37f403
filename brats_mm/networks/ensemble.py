"""Ensemble of networks: the mean of their logits, for the models of the folds of a cross-validation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brats_mm.domain.regions import REGIONS
from brats_mm.errors import OptionError
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.single import SingleNetwork


class Ensemble(SingleNetwork):
    """Mean of the logits of several networks. It has no modality weights, because each member has its own.

    Args:
        members: mixtures of the kind `DMoME`, or single networks.

    Raises:
        OptionError: there is no member, or one is of another kind.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        unsupported = sorted(
            {type(member).__name__ for member in members if not isinstance(member, DMoME | SingleNetwork)}
        )
        if unsupported or not members:
            raise OptionError(
                f"An ensemble needs mixtures (DMoME) or single networks, but got {', '.join(unsupported) or 'none'}."
            )
        self.members = nn.ModuleList(members)
        self.offset = nn.Parameter(torch.zeros(len(REGIONS)))

    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        available = views.flatten(0, 1)
        logits: Tensor = self.members[0](image, available)
        for member in self.members[1:]:
            logits = logits + member(image, available)
        return logits / len(self.members) + self.offset[:, None, None, None]

    def logit_bias(self) -> nn.Parameter:
        return self.offset
