"""How the learning rate moves over the epochs."""

import math
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from brats_mm.errors import OptionError

POLY_POWER = 0.9
"""nnU-Net's."""

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "poly": lambda done: (1 - done) ** POLY_POWER,
}
"""Share of the full learning rate by share of the way, 0 to 1."""


def schedule(optimizer: Optimizer, *, kind: str = "cosine", epochs: int, warmup_epochs: int = 0) -> LambdaLR:
    """A schedule stepped once an epoch: a linear rise over the warm-up, then the decay over what is left.

    Args:
        optimizer: has the full learning rate.
        kind: `constant` (SimMLM), `cosine` or `poly`.
        epochs: of the whole run; the decay would reach 0 after them.
        warmup_epochs: epoch e of w runs at e / (w + 1) of the full rate.

    Raises:
        OptionError: there is no such kind, or the warm-up fills the run.
    """
    if kind not in DECAYS:
        message = f"The schedule is {kind!r}; it must be one of {', '.join(DECAYS)}."
        raise OptionError(message)
    if not 0 <= warmup_epochs < epochs:
        message = f"The warm-up takes {warmup_epochs} of {epochs} epochs; give --warmup_epochs fewer than --epochs."
        raise OptionError(message)
    return LambdaLR(optimizer, partial(learning_rate_share, kind=kind, epochs=epochs, warmup_epochs=warmup_epochs))


def learning_rate_share(epoch: int, *, kind: str, epochs: int, warmup_epochs: int) -> float:
    """Share of the full learning rate in an epoch, counted from 0."""
    if epoch < warmup_epochs:
        return (epoch + 1) / (warmup_epochs + 1)
    return DECAYS[kind](min(1.0, (epoch - warmup_epochs) / (epochs - warmup_epochs)))
