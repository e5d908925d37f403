"""Batches of modalities with different shapes: one tensor per modality, by key."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.engines.utils import PrepareBatch
from torch import Tensor

from brats_mm.training.iteration import Prepared

Device = str | torch.device | None


class OneInputBatch(PrepareBatch):
    """Stage 1: passes one modality to its expert.

    Args:
        key: batch key of the modality.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(
        self,
        batchdata: Mapping[str, Tensor],
        device: Device = None,
        non_blocking: bool = False,  # noqa: FBT001, FBT002 (MONAI's signature)
        **kwargs: Any,
    ) -> Prepared:
        return _plain(batchdata[self.key], device), batchdata["label"].to(device), (), {}


class InputsBatch(PrepareBatch):
    """Passes all modalities and their availability (b, v, m) in v views of each sample to a mixture.

    Args:
        keys: batch keys of the modalities, in the order of the experts.
        views: batch keys of the availability, each (b, v, m): `["available"]` for validation, `["more", "fewer"]` for
            stage 2.
    """

    def __init__(self, keys: Sequence[str], views: Sequence[str] = ("available",)) -> None:
        self.keys, self.views = tuple(keys), tuple(views)

    def __call__(
        self,
        batchdata: Mapping[str, Tensor],
        device: Device = None,
        non_blocking: bool = False,  # noqa: FBT001, FBT002 (MONAI's signature)
        **kwargs: Any,
    ) -> Prepared:
        inputs = [_plain(batchdata[key], device) for key in self.keys]
        views = torch.cat([batchdata[key] for key in self.views], dim=1)  # (b v m)
        label = batchdata["label"].repeat(views.shape[1]).to(device)
        return inputs, label, (views.transpose(0, 1).flatten(0, 1).to(device),), {}


def _plain(batch: Any, device: Device) -> Tensor:
    plain: Tensor = batch.as_tensor() if hasattr(batch, "as_tensor") else batch
    return plain.to(device)
