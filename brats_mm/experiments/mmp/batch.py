"""Batches of masked views for training."""

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines.utils import PrepareBatch
from torch import Tensor

from brats_mm.training.iteration import MixtureBatch, Prepared


class MaskedBatch(PrepareBatch):
    """Passes the availability of each view, (b, v, m), and the modalities to reconstruct in training."""

    def __call__(
        self,
        batchdata: Mapping[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,  # noqa: FBT001, FBT002 (MONAI's signature)
        **kwargs: Any,
    ) -> Prepared:
        image, label, (available,), _ = MixtureBatch()(batchdata, device, non_blocking)
        views = len(available) // len(image)
        return image, label, (available, batchdata["present"].to(device).repeat(views, 1)), {}
