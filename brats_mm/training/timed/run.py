"""Train a cross-sequence expert on a list of cases, from packing to a checkpoint that can be packed into a bundle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brats_mm.errors import BundleError, first_line
from brats_mm.networks.presets import cross_sequence, simmlm
from brats_mm.training.checkpoints import save_whole
from brats_mm.training.timed.assembly import assemble
from brats_mm.training.timed.loop import LoopSettings, train
from brats_mm.training.timed.packing import load_packed, pack_cases

GATE_CASES = 16
"""Cases on which the window gate of the experts' mixture is observed."""


@dataclass(frozen=True)
class TimedTraining:
    """Options of `train_cross`.

    Attributes:
        minutes: of training time, over all runs.
        side: voxels a side of the crops; None begins with 80 and goes on with 96.
        threads: CPU threads; None takes all cores.
        seed: of the crops and the first weights.
        experts: SimMLM checkpoint to join the new expert with; None writes the expert alone.
        joint_shares: weight of the new expert for WT, TC, ET, each in (0, 1).
    """

    minutes: float
    side: int | None = None
    threads: int | None = None
    seed: int = 1
    experts: Path | None = None
    joint_shares: tuple[float, ...] = (0.8, 0.7, 0.8)


def train_cross(
    items: Sequence[Mapping[str, Any]],
    folder: Path,
    options: TimedTraining,
    *,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Pack the cases, train or resume, and write a checkpoint.

    Args:
        items: labelled cases, from `data.datalist.training_items`.
        folder: for packed cases, the state of the training and the checkpoint.
        options: how long and how.
        on_case: told of cases packed and in all.

    Returns:
        `weights.pt` of the expert, or `model.pt` of the whole mixture where `options.experts` is given.

    Raises:
        BundleError: `options.experts` does not hold SimMLM weights.
    """
    mixture = None if options.experts is None else _load_mixture(options.experts)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    paths = []
    for number, item in enumerate(items, start=1):
        paths += pack_cases([item], folder / "packed")
        on_case(number, len(items))
    cases = [load_packed(path) for path in paths]
    settings = LoopSettings(options.minutes, seed=options.seed)
    if options.side is not None:
        settings = LoopSettings(options.minutes, seed=options.seed, sides=((0.0, options.side),))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = train(cross_sequence().cross, cases, [1.0] * len(cases), folder, settings, device=device)
    if mixture is None:
        return weights
    complete = [case for case in cases if case.available.all()][:GATE_CASES]
    state = torch.load(weights, map_location="cpu", weights_only=True)
    joined = assemble(mixture, state, complete or cases[:1], options.joint_shares)
    save_whole(joined.state_dict(), folder / "model.pt")
    return folder / "model.pt"


def _load_mixture(path: Path) -> Any:
    mixture = simmlm()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        mixture.load_state_dict(state)
    except Exception as error:  # torch raises a dozen types for a damaged file
        message = f"{path} does not hold weights of a SimMLM mixture ({first_line(error)}). Give model.pt of one."
        raise BundleError(message) from error
    return mixture.eval()
