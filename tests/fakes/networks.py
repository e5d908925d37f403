"""Networks small enough for tests."""

from typing import Any

import torch
from torch import nn

from brats_mm.domain.modality import MODALITIES
from brats_mm.networks.dmome import DMoME
from brats_mm.networks.gating import GatingNetwork

TINY_MIXTURE: dict[str, Any] = {
    "_target_": "brats_mm.networks.dmome.DMoME",
    "experts": {
        modality.value: {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 3, "kernel_size": 1}
        for modality in MODALITIES
    },
    "gate": {"_target_": "brats_mm.networks.gating.GatingNetwork", "modalities": len(MODALITIES), "outputs": 3},
}
"""`tiny_mixture` as a bundle config. A confined worker can import only installed packages."""


def tiny_mixture() -> DMoME:
    """Return a mixture of 1x1x1 convolutions with the paper's gate, always with the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        experts = {modality.value: nn.Conv3d(1, 3, kernel_size=1) for modality in MODALITIES}
        return DMoME(experts, GatingNetwork(modalities=len(MODALITIES), outputs=3))
