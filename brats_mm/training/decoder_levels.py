"""What deep supervision asks of a network: the logits of several decoder levels."""

from typing import Any

from monai.inferers import Inferer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from brats_mm.errors import OptionError


class DecoderLevels(Inferer):
    """The logits of an expert's finest decoder levels, for `losses.deep_supervision.LevelsLoss`.

    Args:
        levels: how many; 1 is the network's output alone (no deep supervision), as in SimMLM.
    """

    def __init__(self, *, levels: int = 1) -> None:
        self.levels = levels

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> list[Tensor]:
        if self.levels == 1:
            return [network(inputs, *args, **kwargs)]
        if isinstance(network, DistributedDataParallel):
            message = (
                "Deep supervision trains on one device only: give --supervised_levels 1, or leave out multi_gpu_train."
            )
            raise OptionError(message)
        logits: list[Tensor] = network.forward_levels(inputs)  # type: ignore[operator]
        return logits[: self.levels]
