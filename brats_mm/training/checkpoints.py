"""Checkpoints are written whole or not at all, and never with weights that are no numbers."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from brats_mm.errors import OutputError, TrainingError


def save_whole(content: object, path: Path) -> None:
    """Write a checkpoint beside its place, then move it there: a file of that name is always a complete one.

    Raises:
        OutputError: the disk is full or refuses; the former checkpoint is still there.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            torch.save(content, stream)
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer raises a RuntimeError on top of the system's error
        with suppress(OSError):
            part.unlink()
        cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
        reason = getattr(cause, "strerror", None) or str(error)
        kept = "The former checkpoint is still there." if path.exists() else "There is none yet."
        message = (
            f"The checkpoint {path} could not be written: {reason}. {kept} Make room or give another --output_dir, "
            "then continue with --resume true."
        )
        raise OutputError(message) from error


def refuse_nonfinite_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise TrainingError rather than let weights that are no numbers replace a good checkpoint."""
    bad = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if bad:
        message = (
            f"{len(bad)} weights of the network are not finite ({bad[0]} first), so {path} was not written. Lower "
            "--learning_rate, and continue from the last checkpoint with --resume true."
        )
        raise TrainingError(message)
