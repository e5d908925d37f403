"""oneDNN's convolutions for a single window on a CPU.

For a batch of one, PyTorch (2.11 to 2.13) does not use oneDNN if channels times the first two sides of the volume are
at most 20,480. This affects the stem and all coarse levels of a U-Net, and segmenting a case uses batches of one.
Calling oneDNN explicitly is faster: an expert's pass takes 0.7 of the time on a window of 80 x 96 x 80, and half of it
on one of 64 voxels a side (`benchmarks/expert_pass.py`).
"""

import platform
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def use_onednn(network: Network) -> Network:
    """Use oneDNN for the 3D convolutions of a network if that is faster. Changes the network in place.

    Applies only to single-precision inference on x86 processors. With gradients, under autocast and on other devices,
    convolutions are unchanged. Parameters and their names stay the same.

    Args:
        network: network in evaluation mode.

    Returns:
        The same network.
    """
    if platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        for module in network.modules():
            if isinstance(module, nn.Conv3d) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
                module._conv_forward = partial(_convolve, module)  # type: ignore[method-assign]
    return network


def _convolve(module: nn.Conv3d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    single = x.shape[0] == 1 and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    result: Tensor
    if single and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
        attributes = (module.padding, module.stride, module.dilation, module.groups)
        result = torch.ops.aten.mkldnn_convolution(x, weight, bias, *attributes)
    else:
        result = nn.Conv3d._conv_forward(module, x, weight, bias)
    return result
