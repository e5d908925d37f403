"""Fused instance normalisation and leaky ReLU, for training on CPUs.

On a CPU, the backward pass of PyTorch's group normalisation takes half as long as that of all convolutions in float32,
and longer in bfloat16. This implementation makes contiguous passes over memory and derives the activation's mask from
its result.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.jit import is_scripting  # type: ignore[attr-defined]

NEGATIVE_SLOPE = 0.01
"""Negative slope of the leaky ReLU: PyTorch's default, as in the released code."""

NORM_EPS = 1e-5
"""Added to the variance in instance normalisation (released code)."""

ROWS = 64
"""Voxels per row, if the number of voxels is a multiple of it. Rows of eight channels would be too short."""

PARTIAL_ROWS = 64
"""Rows per partial sum in half precision, if the number of rows is a multiple of it."""


def instance_norm(channels: int) -> nn.GroupNorm:
    """Return affine instance normalisation as group normalisation with one channel per group.

    Both are the same function. On a CPU, PyTorch's group normalisation is three times as fast because it keeps the
    channels-last layout.
    """
    return nn.GroupNorm(channels, channels, eps=NORM_EPS)


class NormedActivation(nn.GroupNorm):
    """Instance normalisation followed by leaky ReLU, with the parameters of `instance_norm`.

    Uses the fused implementation for gradients on a CPU, and PyTorch's operations otherwise. Both agree up to rounding.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, eps=NORM_EPS)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        # Keep the nested ifs: TorchScript skips the body of the first, which it cannot compile.
        if not is_scripting():  # noqa: SIM102
            if torch.is_grad_enabled() and x.device.type == "cpu":
                result: Tensor = _NormedActivation.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
                return result
        x = F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        x = self.activation(x)
        return x  # noqa: RET504 (the variable annotates the type)


class _NormedActivation(torch.autograd.Function):
    """y = leaky_relu(a (x - mean) + bias) with a = weight / sqrt(variance + eps), over the voxels of each channel.

    With g the gradient before the activation, n voxels, and z = x - mean:
    dx = a (g - sum(g) / n - z rstd^2 sum(g z) / n), dweight = sum(g z) rstd, dbias = sum(g).
    Sums are computed in float32 or wider.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        ctx.shape = x.shape
        rows = _to_rows(x)
        voxels = x[0, 0].numel()
        mean = _sum_over_voxels(rows, x.shape[1]) / voxels
        centred = rows - _repeat_along_row(mean, rows)
        variance = _sum_over_voxels(centred * centred, x.shape[1]) / voxels
        rstd = (variance + eps).rsqrt()
        y = torch.addcmul(
            _repeat_along_row(bias.expand_as(rstd), rows), centred, _repeat_along_row(weight * rstd, rows)
        )
        F.leaky_relu(y, NEGATIVE_SLOPE, inplace=True)
        ctx.save_for_backward(centred, y, weight, rstd)
        return _to_volume(y, ctx.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        centred, y, weight, rstd = ctx.saved_tensors
        channels = ctx.shape[1]
        voxels = y[0].numel() // channels
        gradient = torch.ops.aten.leaky_relu_backward(_to_rows(upstream), y, NEGATIVE_SLOPE, self_is_result=True)
        plain = _sum_over_voxels(gradient, channels)
        against = _sum_over_voxels(gradient * centred, channels)
        scale = weight * rstd
        dx = torch.addcmul(_repeat_along_row(-scale * plain / voxels, y), gradient, _repeat_along_row(scale, y))
        dx.addcmul_(centred, _repeat_along_row(-scale * rstd * rstd * against / voxels, y))
        return _to_volume(dx, ctx.shape), (against * rstd).sum(dim=0), plain.sum(dim=0), None


def _to_rows(volume: Tensor) -> Tensor:
    """Reshape (b, c, h, w, d) to (b, r, k c) in channels-last order. Each row holds k voxels with their channels."""
    batch, channels = volume.shape[:2]
    flat = volume.permute(0, 2, 3, 4, 1).reshape(batch, -1, channels)
    row = ROWS
    while flat.shape[1] % row:
        row //= 2
    return flat.reshape(batch, -1, row * channels)


def _to_volume(rows: Tensor, shape: torch.Size) -> Tensor:
    """Invert `_to_rows`, in channels-last memory format."""
    batch, channels = shape[:2]
    return rows.view(batch, *shape[2:], channels).permute(0, 4, 1, 2, 3)


def _sum_over_voxels(rows: Tensor, channels: int) -> Tensor:
    """Sum over all voxels to (b, c), in float32 or wider.

    In half precision, PyTorch's sum to float32 first copies the whole tensor. This function adds partial sums, rounded
    to half precision, in float32. Their error equals that of rounding a few voxels.
    """
    wide = torch.promote_types(rows.dtype, torch.float32)
    if rows.dtype != wide:
        count = math.gcd(rows.shape[1], PARTIAL_ROWS)
        rows = rows.reshape(rows.shape[0], -1, count, rows.shape[2]).sum(dim=2)
    return rows.sum(dim=1, dtype=wide).view(rows.shape[0], -1, channels).sum(dim=1)


def _repeat_along_row(values: Tensor, rows: Tensor) -> Tensor:
    """Repeat values (b, c) along a row to (b, 1, k c), in the rows' dtype."""
    return values.repeat(1, rows.shape[2] // values.shape[1]).unsqueeze(1).to(rows.dtype)
