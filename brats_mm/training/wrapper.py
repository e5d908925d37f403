"""A module around the network that a training steps, which gives more than the network itself does."""

from torch import nn


class TrainingWrapper(nn.Module):
    """Base of modules that wrap a network during training; checkpoints hold the network without them.

    Args:
        network: the network that is trained.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
