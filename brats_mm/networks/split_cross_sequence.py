"""Two cross-sequence experts: one for subsets with T1ce, one for subsets without."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brats_mm.domain.modality import Modality
from brats_mm.networks.cross_sequence import CrossSequenceExpert
from brats_mm.networks.mixing import available_by_content

WITH_T1CE = "with_t1ce"
WITHOUT_T1CE = "without_t1ce"


class SplitCrossSequenceExpert(nn.Module):
    """Use one expert for samples with T1ce and another one for samples without.

    With T1ce, enhancing tumour is visible. Without it, the expert has to guess from indirect signs. One network of this
    size that is trained for both gets better at one at the cost of the other (`docs/experiments.md`). The split is not
    part of the paper. Takes the place of a `CrossSequenceExpert` in a mixture, at the same cost per case.

    Args:
        with_t1ce: expert for samples with T1ce.
        without_t1ce: expert for samples without T1ce.
    """

    def __init__(self, with_t1ce: CrossSequenceExpert, without_t1ce: CrossSequenceExpert) -> None:
        super().__init__()
        self.t1ce = Modality.T1CE.channel  # an attribute, because TorchScript reads no globals
        self.with_t1ce = with_t1ce
        self.without_t1ce = without_t1ce

    def expert_name(self, available: Tensor) -> str:
        """Return the name of the expert for samples that all have T1ce or all lack it.

        Args:
            available: (b, m) booleans.

        Raises:
            ValueError: only some of the samples have T1ce.
        """
        has_t1ce = available[:, self.t1ce]
        if bool(has_t1ce.any()) != bool(has_t1ce.all()):
            raise ValueError("Some samples have T1ce and some lack it. Use samples of one kind.")
        return WITH_T1CE if bool(has_t1ce.any()) else WITHOUT_T1CE

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return region logits (b, c, h, w, d). Takes the arguments of `CrossSequenceExpert.forward`."""
        if available is None:
            available = available_by_content(image)
        has_t1ce = available[:, self.t1ce]
        if bool(has_t1ce.all()):
            logits: Tensor = self.with_t1ce(image, available)
            return logits
        if not bool(has_t1ce.any()):
            other: Tensor = self.without_t1ce(image, available)
            return other
        first, second = has_t1ce.nonzero()[:, 0], has_t1ce.logical_not().nonzero()[:, 0]
        with_t1ce = self.with_t1ce(image[first], available[first])
        without_t1ce = self.without_t1ce(image[second], available[second])
        return torch.cat([with_t1ce, without_t1ce])[torch.cat([first, second]).argsort()]

    def forward_levels_available(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Return the logits of each decoder level. See `CrossSequenceExpert.forward_levels_available`."""
        has_t1ce = available[:, self.t1ce]
        rows = [chosen.nonzero()[:, 0] for chosen in (has_t1ce, ~has_t1ce)]
        levels = [
            expert.forward_levels_available(image[chosen], available[chosen])
            for expert, chosen in zip((self.with_t1ce, self.without_t1ce), rows, strict=True)
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
    return any(name.startswith(f"{prefix}{WITHOUT_T1CE}.") for name in state)
