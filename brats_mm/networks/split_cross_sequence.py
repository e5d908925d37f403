"""Two cross-sequence experts: one for T1ce combined with other sequences, one for all other subsets."""

import copy
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from brats_mm.domain.modality import Modality
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.mixing import detect_available

T1CE_COMBINED = "t1ce_combined"
OTHERS = "others"


def choose_expert_name(channels: Collection[int]) -> str:
    """Return the name of the expert for a subset of the input channels."""
    return T1CE_COMBINED if Modality.T1CE.channel in channels and len(channels) > 1 else OTHERS


class SplitCrossSequenceExpert(nn.Module):
    """Use one expert for samples that combine T1ce with another sequence, and another expert for all other samples.

    With T1ce and a second sequence, enhancing tumour and its core are visible. Otherwise, the expert has to infer some
    regions from indirect signs. One network of this size that is trained for both gets better at one at the cost of
    the other (`docs/experiments.md`). The split is not part of the paper. Takes the place of a `CrossSequenceExpert`
    in a mixture, at the same cost per case.

    Args:
        t1ce_combined: expert for samples with T1ce and at least one other sequence.
        others: expert for samples without T1ce, and with T1ce alone.
    """

    def __init__(self, t1ce_combined: CrossSequenceExpert, others: CrossSequenceExpert) -> None:
        super().__init__()
        self.t1ce = Modality.T1CE.channel  # an attribute, because TorchScript reads no globals
        self.t1ce_combined = t1ce_combined
        self.others = others

    def combines_t1ce(self, available: Tensor) -> Tensor:
        """Return for each sample whether T1ce and another sequence are available.

        Args:
            available: (b, m) booleans.

        Returns:
            (b,) booleans.
        """
        return available[:, self.t1ce] & (available.sum(dim=1) > 1)

    def choose_expert_name(self, available: Tensor) -> str:
        """Return the name of the expert for samples that all use the same one.

        Args:
            available: (b, m) booleans.

        Raises:
            ValueError: the samples need both experts.
        """
        combined = self.combines_t1ce(available)
        if bool(combined.any()) != bool(combined.all()):
            raise ValueError(
                "Some samples combine T1ce with another sequence, and some do not. Use samples of one kind."
            )
        return T1CE_COMBINED if bool(combined.any()) else OTHERS

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return region logits (b, c, h, w, d). Takes the arguments of `CrossSequenceExpert.forward`."""
        if available is None:
            available = detect_available(image)
        combined = self.combines_t1ce(available)
        if bool(combined.all()):
            logits: Tensor = self.t1ce_combined(image, available)
            return logits
        if not bool(combined.any()):
            other: Tensor = self.others(image, available)
            return other
        first, second = combined.nonzero()[:, 0], combined.logical_not().nonzero()[:, 0]
        both = [self.t1ce_combined(image[first], available[first]), self.others(image[second], available[second])]
        return torch.cat(both)[torch.cat([first, second]).argsort()]

    def forward_levels_available(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Return the logits of each decoder level. See `CrossSequenceExpert.forward_levels_available`."""
        combined = self.combines_t1ce(available)
        rows = [chosen.nonzero()[:, 0] for chosen in (combined, ~combined)]
        levels = [
            expert.forward_levels_available(image[chosen], available[chosen])
            for expert, chosen in zip((self.t1ce_combined, self.others), rows, strict=True)
            if len(chosen)
        ]
        order = torch.cat(rows).argsort()
        return [torch.cat(level)[order] for level in zip(*levels, strict=True)]


def split(expert: CrossSequenceExpert) -> SplitCrossSequenceExpert:
    """Return two experts with the weights of one, so the output is unchanged until they are trained on."""
    return SplitCrossSequenceExpert(expert, copy.deepcopy(expert))


def is_split(state: Mapping[str, Tensor], prefix: str = "") -> bool:
    """Return whether weights are those of a `SplitCrossSequenceExpert`.

    Args:
        state: state dict of a cross-sequence expert or of a mixture.
        prefix: prefix of the expert's names, such as `cross.`.
    """
    return any(name.startswith(f"{prefix}{OTHERS}.") for name in state)
