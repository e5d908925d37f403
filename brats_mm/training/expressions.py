"""Functions that the expressions of training configs call, so that a config imports one module."""

import torch
from monai.utils import set_determinism

from brats_mm.data.case_list import CaseList
from brats_mm.execution.malloc_tuning import restore_malloc, tune_malloc
from brats_mm.io.running_bundle import bundle_folder
from brats_mm.training.parsing import parse_bool
from brats_mm.training.progress_bar import is_bar_shown
from brats_mm.training.record import check_evaluated_spacing
from brats_mm.training.settings import check_settings

__all__ = ["bundle_folder", "check", "check_evaluated_spacing", "finish", "is_bar_shown", "parse_bool", "start"]


def start(stage: str, seed: int, device: str | torch.device | None = None) -> None:
    """Check the settings, seed all random numbers, and keep freed memory in the process.

    Args:
        stage: `mixture` or `expert`.
        seed: random seed.
        device: device of the training. None leaves the memory allocator as it is.

    Raises:
        OptionError: a setting is unknown or has an invalid value.
    """
    check_settings(stage)
    set_determinism(seed=seed)
    if device is not None:
        tune_malloc(device)


def check(cases: CaseList, enabled: bool | str) -> None:  # noqa: FBT001 (a setting)
    """Check all cases of a list.

    Args:
        cases: the list.
        enabled: the setting `check_cases`. False skips the check.

    Raises:
        CaseError: some cases are faulty. The message names each with its fault.
    """
    if parse_bool(enabled):
        cases.check()


def finish(device: str | torch.device | None = None) -> None:
    """Undo the changes of `start`.

    Args:
        device: see `start`.
    """
    if device is not None:
        restore_malloc(device)
    set_determinism(seed=None)
