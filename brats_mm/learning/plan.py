"""Plan of a fine-tuning run as data: cases of the site, replayed cases, and the resulting version."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError
from brats_mm.learning.corrections import Correction, Role, select_by_role, select_usable_cases

PLAN = "plan.json"
REPLAY = "replay"
MAX_HELD_OUT = 8
"""Maximum number of cases to evaluate on. Each of them is segmented by the old and the new version."""
MAX_REPLAYED = 32
REPLAY_SHARE = 0.5
"""Fraction of the crops that come from replayed cases, if there are any."""
MIN_MINUTES, MAX_MINUTES = 0.01, 24 * 60.0


@dataclass(frozen=True)
class PlannedCase:
    """Labelled case of a plan.

    Attributes:
        name: name of the case.
        use: `training`, `held_out` or `replay`.
        sequences: file of each sequence, relative to the folder of the plan.
        label: label map with BraTS 2023 values, relative to the folder of the plan.
    """

    name: str
    use: str
    sequences: Mapping[str, str]
    label: str

    def item(self, folder: Path) -> dict[str, Any]:
        """Return the case as an item of `data.datalist`."""
        images = {name: str(folder / file) for name, file in self.sequences.items()}
        label = str(folder / self.label)
        return {"name": self.name, "image": images, "label": label, "label_scheme": "brats2023"}


@dataclass(frozen=True)
class FineTuning:
    """Settings of a fine-tuning run.

    Attributes:
        minutes: training time, without packing and evaluation.
        side: side of the crops in voxels, a multiple of 16.
        learning_rate: peak learning rate.
        batch: crops per step.
        seed: seed of the crops.
    """

    minutes: float = 20.0
    side: int = 80
    learning_rate: float = 3e-4
    batch: int = 2
    seed: int = 1


@dataclass(frozen=True)
class TrainingPlan:
    """A planned fine-tuning run.

    Attributes:
        version: name of the new version.
        parent: version to fine-tune.
        settings: settings of the training.
        cases: cases to train on, to evaluate on, and to replay.
    """

    version: str
    parent: str
    settings: FineTuning
    cases: tuple[PlannedCase, ...]

    def select_by_use(self, *uses: str) -> list[PlannedCase]:
        """Return the cases with one of these uses."""
        return [case for case in self.cases if case.use in uses]

    def compute_case_weights(self) -> list[float]:
        """Return the relative frequency of each training case and replayed case in training."""
        corrected, replayed = len(self.select_by_use(Role.TRAINING.value)), len(self.select_by_use(REPLAY))
        share = REPLAY_SHARE if replayed else 0.0
        return [
            share / replayed if case.use == REPLAY else (1 - share) / corrected
            for case in self.select_by_use(Role.TRAINING.value, REPLAY)
        ]


def choose_cases(corrections: Iterable[Correction]) -> list[Correction]:
    """Return the corrections to train on, and those to evaluate on, at most `MAX_HELD_OUT`, oldest first.

    Raises:
        OptionError: there are too few corrected cases.
    """
    usable = select_usable_cases(corrections)
    train, held_out = select_by_role(usable, Role.TRAINING), select_by_role(usable, Role.HELD_OUT)
    if not train or not held_out:
        raise OptionError(
            "Training needs at least two corrected cases, one for training and one for evaluation, but there are "
            f"{len(usable)}. Submit labels of more cases."
        )
    return [*train, *held_out[:MAX_HELD_OUT]]


def check_settings(settings: FineTuning, longest_minutes: float = MAX_MINUTES) -> FineTuning:
    """Check settings and return them unchanged.

    Args:
        settings: settings of a fine-tuning run.
        longest_minutes: maximum training time in minutes.

    Raises:
        OptionError: a value is out of range.
    """
    if not MIN_MINUTES <= settings.minutes <= longest_minutes:
        raise OptionError(f"minutes is {settings.minutes:g}. Use {MIN_MINUTES:g} to {longest_minutes:g}.")
    if settings.side % 16 or not 64 <= settings.side <= 128:
        raise OptionError(f"side is {settings.side}. Use a multiple of 16 from 64 to 128.")
    if not 0 < settings.learning_rate <= 1:  # false for NaN, too
        raise OptionError(f"learning_rate is {settings.learning_rate:g}. Use a number above 0, up to 1.")
    if not 0 <= settings.seed < 2**32:
        raise OptionError("seed is too large or negative. Use 0 to 4294967295.")
    return settings


def write_plan(plan: TrainingPlan, folder: Path) -> None:
    """Write a plan to the folder of its cases."""
    (folder / PLAN).write_text(json.dumps(asdict(plan)), encoding="utf-8")


def read_plan(folder: Path) -> TrainingPlan:
    """Read the plan of a folder."""
    document = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    cases: Sequence[Mapping[str, Any]] = document["cases"]
    return TrainingPlan(
        document["version"],
        document["parent"],
        FineTuning(**document["settings"]),
        tuple(PlannedCase(**case) for case in cases),
    )
