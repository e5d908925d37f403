"""Mean brain, contrast model and thresholds of the input checks, fitted by `benchmarks/input_checks.py`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from brats_mm.domain.volume import Array
from brats_mm.trust.input_checks.contrast import ContrastModel

REFERENCE_FILE = Path(__file__).parent / "reference.npz"


@dataclass(frozen=True, eq=False)
class Reference:
    """Reference of the input checks.

    Attributes:
        mean_brain: mean of upright brains in the common frame, 0 to 1.
        contrast: model of contrasts.
        least_likeness: smallest likeness of a whole brain to the mean brain.
        turn_lead: smallest lead in likeness of a turn over the upright head.
        swap_lead: smallest lead in log likelihood of other contrasts, by number of sequences, 1 to 4.
        flat_share: largest fraction of a scan's foreground in few grey values.
    """

    mean_brain: Array
    contrast: ContrastModel
    least_likeness: float
    turn_lead: float
    swap_lead: tuple[float, ...]
    flat_share: float


@cache
def load_default_reference() -> Reference:
    """Read the reference of this package."""
    with np.load(REFERENCE_FILE) as stored:
        return Reference(
            stored["mean_brain"].astype(np.float32),
            ContrastModel(stored["weights"].astype(np.float64), stored["bias"].astype(np.float64)),
            float(stored["least_likeness"]),
            float(stored["turn_lead"]),
            tuple(float(lead) for lead in stored["swap_lead"]),
            float(stored["flat_share"]),
        )


def save_reference(reference: Reference, path: Path) -> None:
    """Write a reference in half precision, which changes no score by more than 0.1 %."""
    np.savez_compressed(
        path,
        mean_brain=reference.mean_brain.astype(np.float16),
        weights=reference.contrast.weights.astype(np.float16),
        bias=reference.contrast.bias.astype(np.float16),
        least_likeness=reference.least_likeness,
        turn_lead=reference.turn_lead,
        swap_lead=np.array(reference.swap_lead),
        flat_share=reference.flat_share,
    )
