"""Base class of modules that wrap the network during training, for example to return more outputs."""

from torch import nn


class TrainingWrapper(nn.Module):
    """Base class of modules that wrap a network during training. Checkpoints hold the network without its wrapper.

    Args:
        network: the network to train.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
