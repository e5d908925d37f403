"""Random windows and augmentations, by preset.

`paper` is SimMLM's recipe (released code; the paper's supplement says less); `small_data` adds what a few dozen cases
need: rotation and zoom, bias field, low resolution, and windows that favour the tumour.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandAffined,
    RandBiasField,
    RandCropByLabelClassesd,
    RandFlipd,
    RandGaussianNoise,
    RandGaussianSmooth,
    Randomizable,
    RandScaleIntensity,
    RandShiftIntensity,
    RandSimulateLowResolution,
    RandSpatialCropd,
    SpatialPadd,
    Transform,
)

from brats_mm.errors import OptionError

BOTH = ("image", "label")

CENTRE_RATIOS = (0.3, 0.45, 0.25)
"""Share of windows centred on brain, whole tumour and enhancing tumour (see `CropCandidatesd`)."""

MARGIN = 1.3
"""How much larger a window is cut before rotation and zoom, so that its corners hold brain rather than nothing."""


class InsideBraind(Randomizable, Transform):
    """Change the intensities of each channel by itself, and leave what was exactly zero exactly zero.

    Noise and blur would otherwise leak into the background, whose zeros the network learns to rely on; and a missing
    sequence stays empty.

    Args:
        transforms: of one channel, (1, h, w, d).
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.chain = Compose(transforms)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "InsideBraind":
        """Seed the chain."""
        super().set_random_state(seed, state)
        self.chain.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = data["image"]
        changed = torch.as_tensor(image).clone()
        for channel in range(changed.shape[0]):
            mask = changed[channel] != 0
            if bool(mask.any()):
                changed[channel] = torch.as_tensor(self.chain(changed[channel : channel + 1]))[0] * mask
        return {**data, "image": changed}


def paper_augmentation(window: Sequence[int]) -> list[Transform]:
    """SimMLM's: uniform windows, flips on every axis, noise, blur, gamma, scaling.

    Departures: the noise's strength is drawn for each sample, not once a run; scaling by 0.7 to 1.4 is applied as
    such, where the released settings amount to 1.7 to 2.4 in MONAI's reading of them, probably unintended.
    """
    return [
        SpatialPadd(BOTH, window),
        RandSpatialCropd(BOTH, window, random_size=False),
        *[RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in range(3)],
        InsideBraind(
            [
                RandGaussianNoise(prob=0.15, std=0.33),
                RandGaussianSmooth((0.5, 1.5), (0.5, 1.5), (0.5, 1.5), prob=0.15),
                RandAdjustContrast(prob=0.15, gamma=(0.7, 1.4)),
                RandScaleIntensity(factors=(-0.3, 0.4), prob=0.15),
            ]
        ),
    ]


def small_data_augmentation(window: Sequence[int]) -> list[Transform]:
    """For a few dozen cases: windows that favour the tumour, rotation and zoom, and more kinds of intensity change.

    Needs `centres` from `CropCandidatesd`.
    """
    larger = [round(side * MARGIN) for side in window]
    return [
        RandCropByLabelClassesd(
            BOTH,
            label_key="label",
            spatial_size=larger,
            ratios=list(CENTRE_RATIOS),
            num_classes=len(CENTRE_RATIOS),
            indices_key="centres",
            allow_smaller=True,
            warn=False,
        ),
        RandAffined(
            BOTH,
            prob=0.35,
            spatial_size=window,
            rotate_range=(0.26, 0.26, 0.26),
            scale_range=(0.2, 0.2, 0.2),
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        *[RandFlipd(BOTH, prob=share, spatial_axis=axis) for axis, share in enumerate((0.5, 0.1, 0.1))],
        InsideBraind(
            [
                RandGaussianNoise(prob=0.15, std=0.25),
                RandGaussianSmooth((0.5, 1.0), (0.5, 1.0), (0.5, 1.0), prob=0.1),
                RandScaleIntensity(factors=0.25, prob=0.2),
                RandShiftIntensity(offsets=0.3, prob=0.2),
                RandAdjustContrast(prob=0.2, gamma=(0.7, 1.4)),
                RandSimulateLowResolution(prob=0.15, zoom_range=(0.5, 0.9)),
                RandBiasField(prob=0.2, coeff_range=(0.0, 0.2)),
            ]
        ),
    ]


PRESETS: dict[str, Callable[[Sequence[int]], list[Transform]]] = {
    "paper": paper_augmentation,
    "small_data": small_data_augmentation,
}


def random_windows(window: Sequence[int], *, preset: str = "small_data") -> Compose:
    """The random part of a training chain: one window of (m, h, w, d) and its masks, augmented.

    Args:
        window: voxels a side.
        preset: a key of `PRESETS`.

    Raises:
        OptionError: there is no such preset.
    """
    if preset not in PRESETS:
        message = f"The augmentation is {preset!r}; it must be one of {', '.join(PRESETS)}."
        raise OptionError(message)
    return Compose(PRESETS[preset](window))
