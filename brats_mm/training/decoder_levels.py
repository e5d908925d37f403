"""Deep supervision: return the logits of several decoder levels in training."""

from torch import Tensor

from brats_mm.networks.expert import UNetExpert
from brats_mm.training.wrapper import TrainingWrapper


class DecoderLevels(TrainingWrapper):
    """Expert that returns its finest decoder levels in training, and only its output otherwise.

    This is a module, not a function, because the wrapper for distributed training must see every parameter in use.
    Checkpoints hold the expert itself (`warm_start.unwrap`).

    Args:
        network: the expert.
        levels: number of levels. 1 returns only the output (no deep supervision), as in SimMLM.

    Shapes:
        input (b, 1, h, w, d). Output in training: a list of (b, c, h / 2^k, w / 2^k, d / 2^k), finest first, for
        `losses.deep_supervision.LevelsLoss`. Otherwise: (b, c, h, w, d).
    """

    def __init__(self, network: UNetExpert, *, levels: int = 1) -> None:
        super().__init__(network)
        self.network: UNetExpert
        self.levels = levels

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        if not self.training:
            return self.network(image)  # type: ignore[no-any-return]
        if self.levels == 1:
            return [self.network(image)]
        return self.network.forward_levels(image)[: self.levels]
