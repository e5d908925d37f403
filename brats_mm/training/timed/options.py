"""Options of a timed training run. Imports nothing heavy, because `brats-mm --help` reads them."""

from dataclasses import dataclass
from pathlib import Path

from brats_mm.domain.options import option
from brats_mm.errors import OptionError

SMALLEST_EXPERT_SIDE = 96
"""Smallest crop for fine-tuning experts. In smaller crops, their coarsest level has one voxel and no finite gradient.
"""


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
        (0.8, 0.7, 0.8), "weight of the new expert for each region, between 0 and 1", metavar=("WT", "TC", "ET")
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
    pretrain_minutes: float | int = option(
        0.0, "time for masked reconstruction before the training (default: 0, off)", metavar="MINUTES"
    )
    side: int | None = option(None, "side of the crops (default: 80, later 96)", metavar="VOXELS")
    threads: int | None = option(None, "CPU threads (default: all cores)")
    seed: int = option(1, "random seed")

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise OptionError(f"--minutes is {self.minutes:g}. Use a positive number.")
        if not all(0 < share < 1 for share in self.joint_shares):
            raise OptionError(f"--joint-shares are {self.joint_shares}. Use three numbers between 0 and 1.")
        if self.side is not None and (self.side < 48 or self.side % 16):
            raise OptionError(f"--side is {self.side}. Use a multiple of 16, at least 48.")
        self._check_experts()
        self._check_additions()

    def _check_experts(self) -> None:
        if self.expert_minutes < 0:
            raise OptionError(f"--expert-minutes is {self.expert_minutes:g}. Use 0 or a positive number.")
        if self.expert_minutes > 0 and self.side is not None and self.side < SMALLEST_EXPERT_SIDE:
            raise OptionError(
                f"--side is {self.side}. Fine-tuning the modality experts needs at least {SMALLEST_EXPERT_SIDE}."
            )
        if self.expert_minutes > 0 and self.initial_weights is None and self.experts is None:
            raise OptionError("--expert-minutes needs experts to fine-tune. Add --initial-weights or --experts.")
        if self.initial_weights is not None and self.experts is not None:
            raise OptionError("--initial-weights and --experts are mutually exclusive. Set at most one of them.")
        for name, path in (("--experts", self.experts), ("--initial-weights", self.initial_weights)):
            if path is not None and not path.is_file():
                raise OptionError(f"{name} is {path}, which does not exist. Provide a checkpoint.")

    def _check_additions(self) -> None:
        if self.distill < 0 or self.pretrain_minutes < 0:
            message = f"--distill is {self.distill:g} and --pretrain-minutes is {self.pretrain_minutes:g}. "
            message += "Both must be 0 or positive."
            raise OptionError(message)
        if self.inside_weight < 0:
            raise OptionError(f"--inside-weight is {self.inside_weight:g}. Use 0 or a positive number.")
        if self.enhancement_boost < 1:
            raise OptionError(f"--enhancement-boost is {self.enhancement_boost:g}. Use a number of at least 1.")
        if not 0 <= self.intensity_changes <= 1:
            raise OptionError(f"--intensity-changes is {self.intensity_changes:g}. Use a number from 0 to 1.")
