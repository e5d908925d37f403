"""Deep supervision: in training a network answers with the logits of several decoder levels."""

from torch import Tensor

from brats_mm.networks.expert import UNetExpert
from brats_mm.training.wrapper import TrainingWrapper


class DecoderLevels(TrainingWrapper):
    """An expert that answers in training with its finest decoder levels, and otherwise with its output alone.

    It is a module, and not a way of calling one, so that the wrapper of distributed training sees every parameter
    that takes part. Checkpoints hold the expert itself (`warm_start.unwrap`).

    Args:
        network: the expert.
        levels: how many; 1 is the network's output alone (no deep supervision), as in SimMLM.

    Shapes:
        input (b, 1, h, w, d); in training a list of (b, c, h / 2^k, w / 2^k, d / 2^k), finest first, for
        `losses.deep_supervision.LevelsLoss`; otherwise (b, c, h, w, d).
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
