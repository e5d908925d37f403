"""Write checkpoints atomically and only with finite weights."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from brats_mm.errors import OutputError, TrainingError


def atomic_save(content: object, path: Path) -> None:
    """Write a checkpoint atomically, through a temporary file that is renamed.

    Args:
        content: tensors and plain containers.
        path: path of the checkpoint.

    Raises:
        OutputError: the file cannot be written. An earlier checkpoint is kept.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            torch.save(content, stream)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps the system's error in a RuntimeError
        with suppress(OSError):
            temporary.unlink()
        cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
        reason = getattr(cause, "strerror", None) or str(error)
        remark = "The previous checkpoint is kept." if path.exists() else "There is no earlier checkpoint."
        raise OutputError(
            f"The checkpoint {path} cannot be written: {reason}. {remark} Free space or choose another --output_dir, "
            "then continue with --resume true."
        ) from error


def check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise TrainingError if a weight is not finite, to protect the previous checkpoint."""
    nonfinite = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if nonfinite:
        raise TrainingError(
            f"{len(nonfinite)} parameters are not finite (first: {nonfinite[0]}), so {path} was not written. Lower "
            "--learning_rate and continue from the last checkpoint with --resume true."
        )
