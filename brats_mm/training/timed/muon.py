"""Muon optimiser for convolution kernels: momentum whose update matrix is orthogonalised."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration, chosen for fast growth of small singular values (Jordan et al., 2024)."""

ITERATIONS = 5

ADAM_RMS = 0.2
"""Root mean square of an AdamW update per unit of learning rate (Liu et al., 2025)."""


class Muon(torch.optim.Optimizer):
    """Update each kernel by the orthogonalised matrix of its Nesterov momentum.

    Follows Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, with the scale of Liu et
    al., "Muon is scalable for LLM training", 2025, section 2.2, so that learning rates of AdamW carry over. Unlike
    `torch.optim.Muon`, it takes kernels of any dimension: (out, in, ...) counts as a matrix of `out` rows.

    Args:
        parameters: kernels with at least two dimensions.
        lr: learning rate, as for AdamW.
        momentum: decay of the momentum, 0 to 1.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all kernels that have a gradient."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if not state:
                    state["momentum"] = torch.zeros_like(kernel)
                average = state["momentum"].lerp_(kernel.grad, 1 - group["momentum"])
                ahead = kernel.grad.lerp(average, group["momentum"]).flatten(1)
                scale = ADAM_RMS * max(ahead.shape) ** 0.5
                kernel.sub_(orthogonalise(ahead).reshape(kernel.shape), alpha=group["lr"] * scale)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors, and singular values near 1.

    The iteration converges to values of about 0.7 to 1.2, which is enough for an update.

    Args:
        matrix: (rows, columns).
    """
    first, third, fifth = NEWTON_SCHULZ
    is_tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = first * x + (third * square + fifth * square @ square) @ x
    return x.T if is_tall else x


def select_kernels(network: nn.Module) -> list[nn.Parameter]:
    """Return the convolution kernels between feature maps. The first and the last layers are left to AdamW.

    Args:
        network: U-Net whose first layers are named `stem` and whose output layers are named `heads` or `output`.
    """
    return [
        parameter
        for name, parameter in network.named_parameters()
        if parameter.dim() == 5 and not {"stem", "heads", "output"} & set(name.split("."))
    ]
