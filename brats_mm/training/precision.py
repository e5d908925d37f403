"""The floating-point type of the forward pass, and the scaling of gradients that float16 needs."""

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
    """What a step computes with.

    Attributes:
        dtype: of the forward pass under autocast; None is float32 throughout. Losses are computed in float32 anyway.
        scaler: multiplies the loss, so that small gradients do not vanish in float16; switched off at other types.
    """

    dtype: torch.dtype | None = None
    scaler: GradScaler = field(default_factory=lambda: GradScaler("cpu", enabled=False))


def mixed_precision(name: str = "float32", *, device: str | torch.device = "cpu") -> Precision:
    """The precision of that name on a device.

    Args:
        name: `float32`, `bfloat16` (any device; it has the range of float32 and needs no scaling), or `float16` (CUDA).
        device: on which the network is trained.

    Raises:
        OptionError: there is no such precision, or the device is too slow and too narrow for it.
    """
    if name not in PRECISIONS:
        message = f"The precision is {name!r}; it must be one of {', '.join(PRECISIONS)}."
        raise OptionError(message)
    kind = torch.device(device).type
    if name == "float16" and kind != "cuda":
        message = (
            f"float16 trains on CUDA devices only, and this training is on {kind}. Give --precision bfloat16, or "
            "float32 where the processor has no bfloat16."
        )
        raise OptionError(message)
    return Precision(PRECISIONS[name], GradScaler(kind, enabled=name == "float16"))
