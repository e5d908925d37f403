"""Random windows and augmentations, by preset.

`paper` is SimMLM's recipe (released code, which is more detailed than the supplement). `small_data` adds transforms for
a few dozen cases: rotation, zoom and elastic deformation, bias field, low resolution, transplanted tumours, and windows
that favour the tumour. `strong` is a stronger version for long training runs, which would otherwise overfit.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandBiasField,
    RandCropByLabelClassesd,
    RandFlipd,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandHistogramShift,
    Randomizable,
    RandScaleIntensity,
    RandShiftIntensity,
    RandSimulateLowResolution,
    RandSpatialCropd,
    SpatialPadd,
    Transform,
)

from brats_mm.data.transplant import RandTransplantTumourd
from brats_mm.data.warp import RandWarpd
from brats_mm.errors import OptionError, check_choice

BOTH = ("image", "label")

CENTRE_RATIOS = (0.3, 0.45, 0.25)
"""Fraction of windows centred on brain, whole tumour and enhancing tumour (see `CropCandidatesd`)."""

MARGIN = 1.3
"""Enlargement of a window before rotation and scaling, so that its corners contain brain."""


class InsideBraind(Randomizable, Transform):
    """Augment the intensities of each channel separately, and keep exact zeros exactly zero.

    Otherwise noise and blur would leak into the background, whose zeros the network relies on, and into missing
    sequences.

    Args:
        transforms: transforms of one channel, (1, h, w, d).
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


def build_paper_augmentation(window: Sequence[int]) -> list[Transform]:
    """Return the transforms of SimMLM: uniform windows, flips along all axes, noise, blur, gamma, scaling.

    Differences: noise strength is drawn per sample instead of once per run. Scaling is by 0.7 to 1.4, whereas MONAI
    interprets the released settings as 1.7 to 2.4, which is probably unintended.
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


def build_small_data_augmentation(window: Sequence[int]) -> list[Transform]:
    """Return transforms for a few dozen cases: windows that favour the tumour, more changes of shape and intensity.

    Needs `centres` from `CropCandidatesd`.
    """
    return [
        _build_centred_windows(window),
        RandWarpd(window),
        *_build_flips(),
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


def build_strong_augmentation(window: Sequence[int]) -> list[Transform]:
    """Return transforms like `small_data`, but stronger, in nearly every window, and with distorted grey scales.

    A random monotone map of a sequence's grey scale (histogram shift) simulates other scanners and protocols. Needs
    `centres` from `CropCandidatesd`.
    """
    return [
        _build_centred_windows(window),
        RandWarpd(window, affine_prob=0.9, elastic_prob=0.5, rotation_rad=0.35, zoom=0.25),
        *_build_flips(),
        InsideBraind(
            [
                RandHistogramShift(num_control_points=(6, 10), prob=0.3),
                RandGaussianNoise(prob=0.25, std=0.3),
                RandGaussianSmooth((0.5, 1.2), (0.5, 1.2), (0.5, 1.2), prob=0.2),
                RandScaleIntensity(factors=0.35, prob=0.4),
                RandShiftIntensity(offsets=0.4, prob=0.4),
                RandAdjustContrast(prob=0.4, gamma=(0.6, 1.7)),
                RandSimulateLowResolution(prob=0.25, zoom_range=(0.4, 0.9)),
                RandBiasField(prob=0.4, coeff_range=(0.0, 0.3)),
            ]
        ),
    ]


def _build_centred_windows(window: Sequence[int]) -> Transform:
    """Return a crop larger than the window by the margin, centred on brain, tumour or enhancing tumour."""
    return RandCropByLabelClassesd(
        BOTH,
        label_key="label",
        spatial_size=[round(side * MARGIN) for side in window],
        ratios=list(CENTRE_RATIOS),
        num_classes=len(CENTRE_RATIOS),
        indices_key="centres",
        allow_smaller=True,
        warn=False,
    )


def _build_flips() -> list[Transform]:
    """Flip left and right often, because a brain is nearly symmetric, and the other axes rarely."""
    return [RandFlipd(BOTH, prob=share, spatial_axis=axis) for axis, share in enumerate((0.5, 0.1, 0.1))]


PRESETS: dict[str, Callable[[Sequence[int]], list[Transform]]] = {
    "paper": build_paper_augmentation,
    "small_data": build_small_data_augmentation,
    "strong": build_strong_augmentation,
}

TRANSPLANT_PROBS = {"paper": 0.0, "small_data": 0.1, "strong": 0.1}
"""Default probability of transplanting a tumour."""


def build_random_windows(
    window: Sequence[int], *, preset: str = "small_data", transplant_prob: float | int | None = None
) -> Compose:
    """Return the random transforms of training: one augmented window of (m, h, w, d) and its masks.

    Tumours are transplanted once a dataset has provided donors (see `case_cache.cache_cases`).

    Args:
        window: sides of the window in voxels.
        preset: a key of `PRESETS`.
        transplant_prob: probability of transplanting a tumour. None is the preset's default.

    Raises:
        OptionError: the preset is unknown, or the probability is invalid.
    """
    check_choice("The augmentation", preset, PRESETS)
    share = TRANSPLANT_PROBS[preset] if transplant_prob is None else float(transplant_prob)
    if not 0 <= share <= 1:
        raise OptionError(f"transplant_prob is {share:g}. It must be between 0 and 1.")
    transplant = [RandTransplantTumourd(share)] if share else []
    return Compose([*transplant, *PRESETS[preset](window)])
