"""The baseline of `training_throughput.py`: a plain MONAI training run.

It uses MONAI's dictionary transforms, CacheDataset, DataLoader and SupervisedTrainer, the network of our presets in
PyTorch's default memory layout, and the same loss, window, augmentation and optimiser. In stage 2, the batch is doubled
into two masked views, and the network runs on both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.transforms import (
    Compose,
    ConvertToMultiChannelBasedOnBratsClassesd,
    CropForegroundd,
    FgBgToIndicesd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Rand3DElasticd,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSimulateLowResolutiond,
    RandSpatialCropd,
    Spacingd,
    SpatialPadd,
    Transform,
)
from torch import Tensor

from brats_mm.domain.availability import NESTED_PAIRS, to_flags
from brats_mm.losses.mofe import PaperMoFeLoss
from brats_mm.losses.segmentation import TaskLoss
from brats_mm.networks.presets import expert, simmlm

BOTH = ("image", "label")


@dataclass(frozen=True)
class Plan:
    """Settings of both sides.

    Attributes:
        stage: 1 (one expert, on FLAIR) or 2 (the mixture, on pairs of views).
        items: training items, whose `image` maps sequences to files. An epoch visits each once.
        size: size of the network (`networks.presets`).
        window: voxels per side.
        batch_size: crops per step.
        workers: processes that load data. 0 loads in the training process.
        augmentation: `small_data` or `paper`.
        spacing_mm: voxel size of cases and training.
    """

    stage: int
    items: tuple[dict[str, Any], ...]
    size: str
    window: tuple[int, int, int]
    batch_size: int
    workers: int
    augmentation: str
    spacing_mm: float


def plain_trainer(plan: Plan, device: torch.device) -> SupervisedTrainer:
    """Create a MONAI trainer."""
    network = (expert(plan.size) if plan.stage == 1 else simmlm(plan.size)).to(device)
    dataset = CacheDataset(
        data=[_files(item, plan.stage) for item in plan.items],
        transform=Compose([*_loading(plan.spacing_mm), *_random(plan)]),
        num_workers=1,
        progress=False,
    )
    return SupervisedTrainer(
        device=device,
        max_epochs=0,
        train_data_loader=DataLoader(dataset, batch_size=plan.batch_size, shuffle=True, num_workers=plan.workers),
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-5),
        loss_function=TaskLoss() if plan.stage == 1 else PaperMoFeLoss(),
        inferer=SimpleInferer(),
        **({} if plan.stage == 1 else {"prepare_batch": two_views}),
    )


def two_views(
    batch: Mapping[str, Tensor],
    device: str | torch.device | None = None,
    non_blocking: bool = False,  # noqa: FBT001, FBT002 (MONAI's signature)
    **kwargs: Any,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...], dict[str, Any]]:
    """Duplicate each sample with two nested sets of its sequences: first views with more, then with fewer."""
    image, label = (batch[key].to(device=device, dtype=torch.float32, non_blocking=non_blocking) for key in BOTH)
    drawn = [NESTED_PAIRS[np.random.randint(len(NESTED_PAIRS))] for _ in range(len(image))]
    more, fewer = (torch.tensor([to_flags(pair[side]) for pair in drawn], device=device) for side in (0, 1))
    views = [image * kept[:, :, None, None, None] for kept in (more, fewer)]
    return torch.cat(views), torch.cat([label, label]), (torch.cat([more, fewer]),), {}


def _files(item: Mapping[str, Any], stage: int) -> dict[str, Any]:
    image = item["image"]
    return {"image": image["flair"] if stage == 1 else list(image.values()), "label": item["label"]}


def _loading(spacing_mm: float) -> list[Transform]:
    """Create the cached transforms."""
    return [
        LoadImaged(BOTH, ensure_channel_first=True, dtype=np.float32),
        ConvertToMultiChannelBasedOnBratsClassesd("label"),
        Orientationd(BOTH, axcodes="RAS", labels=None),
        CropForegroundd(BOTH, source_key="image", allow_smaller=True),
        NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        Spacingd(BOTH, pixdim=[spacing_mm] * 3, mode=("bilinear", "nearest")),
        FgBgToIndicesd("label", image_key="image"),
    ]


def _random(plan: Plan) -> list[Transform]:
    if plan.augmentation == "paper":
        return [
            SpatialPadd(BOTH, plan.window),
            RandSpatialCropd(BOTH, plan.window, random_size=False),
            *[RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in range(3)],
            RandGaussianNoised("image", prob=0.15, std=0.33),
            RandGaussianSmoothd("image", (0.5, 1.5), (0.5, 1.5), (0.5, 1.5), prob=0.15),
            RandAdjustContrastd("image", prob=0.15, gamma=(0.7, 1.4)),
            RandScaleIntensityd("image", factors=(-0.3, 0.4), prob=0.15),
        ]
    larger = [round(side * 1.3) for side in plan.window]
    return [
        RandCropByPosNegLabeld(
            BOTH,
            label_key="label",
            spatial_size=larger,
            pos=0.7,
            neg=0.3,
            fg_indices_key="label_fg_indices",
            bg_indices_key="label_bg_indices",
            allow_smaller=True,
        ),
        RandAffined(
            BOTH,
            prob=0.35,
            spatial_size=plan.window,
            rotate_range=(0.26,) * 3,
            scale_range=(0.2,) * 3,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        Rand3DElasticd(
            BOTH,
            sigma_range=(5, 7),
            magnitude_range=(50, 150),
            prob=0.2,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        *[RandFlipd(BOTH, prob=share, spatial_axis=axis) for axis, share in enumerate((0.5, 0.1, 0.1))],
        RandGaussianNoised("image", prob=0.15, std=0.25),
        RandGaussianSmoothd("image", (0.5, 1.0), (0.5, 1.0), (0.5, 1.0), prob=0.1),
        RandScaleIntensityd("image", factors=0.25, prob=0.2),
        RandShiftIntensityd("image", offsets=0.3, prob=0.2),
        RandAdjustContrastd("image", prob=0.2, gamma=(0.7, 1.4)),
        RandSimulateLowResolutiond("image", prob=0.15, zoom_range=(0.5, 0.9)),
        RandBiasFieldd("image", prob=0.2, coeff_range=(0.0, 0.2)),
    ]
