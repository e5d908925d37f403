"""Floating-point type of the forward pass, and gradient scaling for float16."""

from dataclasses import dataclass, field

import torch
from torch.amp import GradScaler

from brats_mm.errors import OptionError

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Precision:
    """Precision of a training step.

    Attributes:
        dtype: type of the forward pass under autocast. None is float32 throughout. Losses are always in float32.
        scaler: scales the loss so that small gradients do not vanish in float16. Disabled for other types.
    """

    dtype: torch.dtype | None = None
    scaler: GradScaler = field(default_factory=lambda: GradScaler("cpu", enabled=False))


def mixed_precision(name: str = "float32", *, device: str | torch.device = "cpu") -> Precision:
    """Return a precision by name.

    Args:
        name: `float32`, `bfloat16` (same range as float32, no scaling, on any device), or `float16` (CUDA only).
        device: device of the network.

    Raises:
        OptionError: the precision is unknown or not supported on the device.
    """
    if name not in PRECISIONS:
        raise OptionError(f"Unknown precision {name!r}. Choose one of {', '.join(PRECISIONS)}.")
    kind = torch.device(device).type
    if name == "float16" and kind != "cuda":
        raise OptionError(
            f"float16 needs a CUDA device, but this run uses {kind}. Use --precision bfloat16, or float32 if "
            "the processor does not support bfloat16."
        )
    return Precision(PRECISIONS[name], GradScaler(kind, enabled=name == "float16"))
