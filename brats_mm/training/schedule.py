"""Learning-rate schedules over the epochs."""

import math
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from brats_mm.errors import OptionError

POLY_POWER = 0.9
"""Polynomial decay, as in nnU-Net."""

DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "poly": lambda done: (1 - done) ** POLY_POWER,
}
"""Fraction of the full learning rate as a function of the completed share, both 0 to 1."""


def schedule(optimizer: Optimizer, *, kind: str = "cosine", epochs: int, warmup_epochs: int = 0) -> LambdaLR:
    """Return a schedule with linear warm-up and decay. Step it after every epoch.

    Args:
        optimizer: optimizer with the full learning rate.
        kind: `constant` (SimMLM), `cosine` or `poly`.
        epochs: epochs of the run, after which the decay would reach 0.
        warmup_epochs: number w of warm-up epochs. Epoch e runs at (e + 1) / (w + 1) of the full rate.

    Raises:
        OptionError: the kind is unknown, or the warm-up fills the run.
    """
    if kind not in DECAYS:
        raise OptionError(f"Unknown schedule {kind!r}. Choose one of {', '.join(DECAYS)}.")
    if not 0 <= warmup_epochs < epochs:
        raise OptionError(f"The warm-up takes {warmup_epochs} of {epochs} epochs. Set --warmup_epochs below --epochs.")
    return LambdaLR(
        optimizer, partial(compute_learning_rate_share, kind=kind, epochs=epochs, warmup_epochs=warmup_epochs)
    )


def compute_learning_rate_share(epoch: int, *, kind: str, epochs: int, warmup_epochs: int) -> float:
    """Return the fraction of the full learning rate in an epoch, counted from 0.

    Args:
        epoch: epoch, counted from 0.
        kind: a key of `DECAYS`.
        epochs: epochs of the run.
        warmup_epochs: number of warm-up epochs.

    Returns:
        Factor from 0 to 1.
    """
    if epoch < warmup_epochs:
        return (epoch + 1) / (warmup_epochs + 1)
    return DECAYS[kind](min(1.0, (epoch - warmup_epochs) / (epochs - warmup_epochs)))


def compute_timed_share(done: float, warmup: float) -> float:
    """Return the fraction of the full learning rate in a training of given time: linear warm-up, half a cosine to zero.

    Args:
        done: fraction of the training time, from 0. After 1, the rate stays at zero.
        warmup: fraction of the time over which the rate rises.
    """
    return max(done, 1e-4) / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
