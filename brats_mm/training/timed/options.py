"""Options of a timed training run. Imports nothing heavy, because `brats-mm --help` reads them."""

from dataclasses import dataclass
from pathlib import Path

from brats_mm.domain.number_range import (
    ABOVE_ZERO,
    FROM_ONE,
    OPEN_SHARE,
    SEED,
    SHARE,
    ZERO_OR_MORE,
    check_numbers,
)
from brats_mm.domain.options import option
from brats_mm.errors import OptionError

MIN_EXPERT_SIDE = 96
"""Smallest crop for fine-tuning experts. In smaller crops, their coarsest level has one voxel and no finite gradient.
"""

EXPERTS = ("t1ce_combined", "others")
"""The experts of a `networks.split_cross_sequence.SplitCrossSequenceExpert`."""

DEFAULT_SHARES = (0.8, 0.7, 0.8)

_NUMBERS = {
    "minutes": ABOVE_ZERO,
    "expert_minutes": ZERO_OR_MORE,
    "joint_shares": OPEN_SHARE,
    "distill": ZERO_OR_MORE,
    "inside_weight": ZERO_OR_MORE,
    "enhancement_boost": FROM_ONE,
    "intensity_changes": SHARE,
    "pretrain_minutes": ZERO_OR_MORE,
    "threads": FROM_ONE,
    "seed": SEED,
}


@dataclass(frozen=True)
class TimedTraining:
    """Options of a timed training run. Times are summed over all runs with the same folder.

    If both `initial_weights` and `experts` are None, only the cross-sequence expert is written.

    Raises:
        OptionError: an option has an invalid value, the options contradict each other, or a checkpoint does not exist.
    """

    minutes: float | int = option(60.0, "training time over all runs of the command")
    expert_minutes: float | int = option(0.0, "time to fine-tune the modality experts", metavar="MINUTES")
    initial_weights: Path | None = option(None, "model.pt of an earlier result to continue from", metavar="FILE")
    experts: Path | None = option(None, "SimMLM checkpoint to join the new expert with", metavar="FILE")
    joint_shares: tuple[float, float, float] = option(
        DEFAULT_SHARES, "weight of the new expert for each region, between 0 and 1", metavar=("WT", "TC", "ET")
    )
    distill: float | int = option(
        0.0,
        "weight of the distillation from the view with all sequences to the drawn view (default: 0, off)",
        metavar="WEIGHT",
    )
    inside_weight: float | int = option(
        0.0,
        "weight of the cross-entropy of TC and ET inside the tumour in views with T1ce, which penalises false "
        "enhancement (default: 0, off)",
        metavar="WEIGHT",
    )
    enhancement_boost: float | int = option(
        1.0,
        "draw cases with a tumour core and less than 5 mL of enhancing tumour this many times as often, in views with "
        "T1ce, at least 1",
        metavar="FACTOR",
    )
    intensity_changes: float | int = option(
        1.0, "factor of the probabilities of intensity augmentation, 0 to 1", metavar="FACTOR"
    )
    split_by_t1ce: bool = option(
        default=False,
        help="train one cross-sequence expert for T1ce combined with other sequences, and another one for all other "
        "subsets",
    )
    only: str | None = option(
        None, "train only one of two cross-sequence experts, and leave the other unchanged", choices=EXPERTS
    )
    optimizer: str = option(
        "adamw", "optimiser of the cross-sequence expert's convolution kernels", choices=("adamw", "muon")
    )
    pretrain_minutes: float | int = option(
        0.0, "time for masked reconstruction before the training (default: 0, off)", metavar="MINUTES"
    )
    side: int | None = option(None, "side of the crops (default: 80, later 96)", metavar="VOXELS")
    threads: int | None = option(None, "CPU threads (default: all cores)")
    seed: int = option(1, "random seed")

    def __post_init__(self) -> None:
        check_numbers(self, _NUMBERS)
        if self.side is not None and (self.side < 48 or self.side % 16):
            raise OptionError(f"--side is {self.side}. Use a multiple of 16, at least 48.")
        if self.expert_minutes > 0 and self.side is not None and self.side < MIN_EXPERT_SIDE:
            raise OptionError(
                f"--side is {self.side}. Fine-tuning the modality experts needs at least {MIN_EXPERT_SIDE}."
            )
        if self.expert_minutes > 0 and self.initial_weights is None and self.experts is None:
            raise OptionError("--expert-minutes needs experts to fine-tune. Add --initial-weights or --experts.")
        if self.only is not None and self.initial_weights is None:
            raise OptionError("--only trains one expert of an earlier result. Add --initial-weights.")
        if self.joint_shares != DEFAULT_SHARES and self.experts is None and self.expert_minutes == 0:
            raise OptionError(
                "--joint-shares applies when experts are joined or fine-tuned. Add --experts or --expert-minutes, or "
                "omit it."
            )
        if self.initial_weights is not None and self.experts is not None:
            raise OptionError("--initial-weights and --experts are mutually exclusive. Set at most one of them.")
        for name, path in (("--experts", self.experts), ("--initial-weights", self.initial_weights)):
            if path is not None and not path.is_file():
                raise OptionError(f"{name} is {path}, which does not exist. Provide a checkpoint.")
