"""Training wrapper of MMP that returns the features of the alignment loss."""

from torch import Tensor

from brats_mm.experiments.mmp.network import Answer, MaskedProjectionNetwork
from brats_mm.training.wrapper import TrainingWrapper


class AlignedTraining(TrainingWrapper):
    """A projecting network that answers in training with what its alignment compares, and otherwise with logits alone.

    It is a module, and not a way of calling one, so that the wrapper of distributed training sees every parameter that
    takes part. Checkpoints hold the network itself (`warm_start.unwrap`).

    Args:
        network: what is trained.
    """

    def __init__(self, network: MaskedProjectionNetwork) -> None:
        super().__init__(network)
        self.network: MaskedProjectionNetwork

    def forward(self, image: Tensor, available: Tensor, present: Tensor | None = None) -> Tensor | Answer:
        if not self.training or present is None:
            return self.network(image, available)  # type: ignore[no-any-return]
        return self.network.answer(image, available, present)
