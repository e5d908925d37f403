"""Instance normalisation and leaky ReLU in one step, for training on CPUs.

In training on a CPU, the backward pass of PyTorch's group normalisation takes half as long as that of the convolutions
in float32, and longer than all convolutions together in bfloat16. Here each pass over the voxels is one plain operation
along memory, and the activation's mask comes from its result.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.jit import is_scripting  # type: ignore[attr-defined]

NEGATIVE_SLOPE = 0.01
"""Slope of the leaky ReLU below zero: PyTorch's default, as in the released code."""

NORM_EPS = 1e-5
"""Added to the variance in instance normalisation (released code)."""

ROWS = 64
"""Voxels that are handled as one row where their number allows it: eight channels alone would make rows too short."""


def instance_norm(channels: int) -> nn.GroupNorm:
    """Instance normalisation with affine parameters, as group normalisation with one channel a group.

    The two are the same function of the same parameters; PyTorch's group normalisation is three times as fast as its
    instance normalisation on a CPU because it keeps the channels-last layout.
    """
    return nn.GroupNorm(channels, channels, eps=NORM_EPS)


class NormedActivation(nn.GroupNorm):
    """Leaky ReLU of instance normalisation, (b, c, h, w, d) to the same, with the parameters of `instance_norm`.

    Where gradients are wanted on a CPU it is computed as the module says; everywhere else by PyTorch's own operations.
    Both agree to rounding.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, eps=NORM_EPS)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        # The two ifs stay apart: TorchScript leaves out what stands in the first, and does not know what is in it.
        if not is_scripting():  # noqa: SIM102
            if torch.is_grad_enabled() and x.device.type == "cpu":
                result: Tensor = _NormedActivation.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
                return result
        x = F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        x = self.activation(x)
        return x  # noqa: RET504 (a name gives the result its type)


class _NormedActivation(torch.autograd.Function):
    """y = leaky_relu(a (x - mean) + bias) with a = weight / sqrt(variance + eps), over the voxels of each channel.

    With g the gradient before the activation, n voxels, and z = x - mean:
    dx = a (g - sum(g) / n - z rstd^2 sum(g z) / n), dweight = sum(g z) rstd, dbias = sum(g).
    Sums are taken in float32 at least.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        ctx.shape = x.shape
        rows = _rows(x)
        voxels = x[0, 0].numel()
        mean = _over_voxels(rows, x.shape[1]) / voxels
        centred = rows - _along(mean, rows)
        variance = _over_voxels(centred * centred, x.shape[1]) / voxels
        rstd = (variance + eps).rsqrt()
        y = torch.addcmul(_along(bias.expand_as(rstd), rows), centred, _along(weight * rstd, rows))
        F.leaky_relu(y, NEGATIVE_SLOPE, inplace=True)
        ctx.save_for_backward(centred, y, weight, rstd)
        return _volume(y, ctx.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        centred, y, weight, rstd = ctx.saved_tensors
        channels = ctx.shape[1]
        voxels = y[0].numel() // channels
        gradient = torch.ops.aten.leaky_relu_backward(_rows(upstream), y, NEGATIVE_SLOPE, self_is_result=True)
        plain = _over_voxels(gradient, channels)
        against = _over_voxels(gradient * centred, channels)
        scale = weight * rstd
        dx = torch.addcmul(_along(-scale * plain / voxels, y), gradient, _along(scale, y))
        dx.addcmul_(centred, _along(-scale * rstd * rstd * against / voxels, y))
        return _volume(dx, ctx.shape), (against * rstd).sum(dim=0), plain.sum(dim=0), None


def _rows(volume: Tensor) -> Tensor:
    """(b, c, h, w, d) as (b, r, k c), in channels-last order: each row is k voxels with their channels."""
    batch, channels = volume.shape[:2]
    flat = volume.permute(0, 2, 3, 4, 1).reshape(batch, -1, channels)
    row = ROWS
    while flat.shape[1] % row:
        row //= 2
    return flat.reshape(batch, -1, row * channels)


def _volume(rows: Tensor, shape: torch.Size) -> Tensor:
    """The way back from `_rows`, in channels-last memory."""
    batch, channels = shape[:2]
    return rows.view(batch, *shape[2:], channels).permute(0, 4, 1, 2, 3)


def _over_voxels(rows: Tensor, channels: int) -> Tensor:
    """Sums over all voxels, (b, c), in float32 or wider."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    return rows.sum(dim=1, dtype=wide).view(rows.shape[0], -1, channels).sum(dim=1)


def _along(values: Tensor, rows: Tensor) -> Tensor:
    """A number for each sample and channel, (b, c), repeated along a row: (b, 1, k c), in the rows' type."""
    return values.repeat(1, rows.shape[2] // values.shape[1]).unsqueeze(1).to(rows.dtype)
