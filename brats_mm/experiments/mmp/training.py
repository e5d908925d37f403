"""Training wrapper of MMP that returns the features of the alignment loss."""

from torch import Tensor

from brats_mm.experiments.mmp.network import Answer, MaskedProjectionNetwork
from brats_mm.training.wrapper import TrainingWrapper


class AlignedTraining(TrainingWrapper):
    """Return the inputs of the alignment loss in training, and only logits otherwise.

    This is a module, not a function, because the wrapper for distributed training must see every parameter in use.
    Checkpoints hold the network itself (`warm_start.unwrap`).

    Args:
        network: network to train.
    """

    def __init__(self, network: MaskedProjectionNetwork) -> None:
        super().__init__(network)
        self.network: MaskedProjectionNetwork

    def forward(self, image: Tensor, available: Tensor, present: Tensor | None = None) -> Tensor | Answer:
        if not self.training or present is None:
            return self.network(image, available)  # type: ignore[no-any-return]
        return self.network.answer(image, available, present)
