"""Windows of the two views of a MoFe pair: the same window (the paper), or one each (the released code)."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
from monai.transforms import Compose, Randomizable, Transform

from brats_mm.errors import OptionError, check_choice


class TwoWindowsd(Randomizable, Transform):
    """Crop and augment two windows of a case independently: `image` and `label`, `image_fewer` and `label_fewer`."""

    def __init__(self, windows: Compose) -> None:
        self.windows = windows

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "TwoWindowsd":
        """Seed the chain."""
        super().set_random_state(seed, state)
        self.windows.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        more, fewer = _unwrap_single(self.windows(data)), _unwrap_single(self.windows(data))
        return {**more, "image_fewer": fewer["image"], "label_fewer": fewer["label"]}


def _unwrap_single(crops: Any) -> Mapping[Hashable, Any]:
    """Return the only window of MONAI's croppers, which return a list."""
    window: Mapping[Hashable, Any] = crops[0] if isinstance(crops, list) else crops
    return window


CROPS: dict[str, Callable[[Compose], Transform]] = {"same": lambda windows: windows, "independent": TwoWindowsd}


def build_pair_windows(windows: Compose, *, crops: str = "same", pairs: int = 1) -> Transform:
    """Return the random transforms for pairs of views.

    Args:
        windows: random transforms that make one window.
        crops: `same`, as in the paper's formula, or `independent`, as in the released code.
        pairs: number of pairs per sample. Must be 1 for independent windows.

    Raises:
        OptionError: `crops` is unknown, or several pairs were combined with independent crops.
    """
    check_choice("crops", crops, CROPS)
    if crops == "independent" and pairs > 1:
        raise OptionError(f"Independent crops need --pairs 1, but --pairs is {pairs}. Use --pairs 1 or --crops same.")
    return CROPS[crops](windows)
