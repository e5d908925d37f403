"""Run the experts of a mixture with a cross-sequence expert."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from brats_mm.domain.modality import Modality
from brats_mm.inference.backend import ExpertBackend, TorchBackend
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.subvoxel import SubvoxelExpert, refine


@runtime_checkable
class CrossSequenceBackend(ExpertBackend, Protocol):
    """Parts of a `CrossSequenceMixture`, run by an engine."""

    def compute_lattice_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        """Return the output of one expert for windows (b, 1, h, w, d) in the form in which mixing costs least.

        Returns:
            `compute_lattice_logits` (b, 9c, h / 2, w / 2, d / 2) of a sub-voxel expert, logits (b, c, h, w, d) of
            another one.
            `restore_full_resolution` converts both to logits.
        """

    def compute_joint_contribution(self, window: Tensor, available: Tensor) -> Tensor:
        """Return the logits of the cross-sequence expert for windows (b, m, h, w, d) with availability (b, m)."""

    def compute_case_weights(self, small: Tensor, available: Tensor) -> Tensor:
        """Return the gate weights (b, m + 1, c) for a case's thumbnail (b, m, 16, 16, 16)."""

    def move_to(self, device: torch.device) -> "CrossSequenceBackend":
        """Return this backend on the given or the current device."""


class TorchCrossSequenceBackend(TorchBackend):
    """A `CrossSequenceMixture` in PyTorch, on any device. Takes the arguments of `TorchBackend`."""

    def __init__(self, network: CrossSequenceMixture, device: torch.device, *, autocast: bool = False) -> None:
        super().__init__(network, device, autocast=autocast)
        self._mixture = network

    def compute_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        return restore_full_resolution(self.compute_lattice_contribution(modality, window), window.shape[2:])

    def compute_lattice_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        expert = self._mixture.get_submodule(f"experts.{modality.value}")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            lattice: Tensor = (
                expert.compute_lattice_logits(window) if isinstance(expert, SubvoxelExpert) else expert(window)
            )
        return lattice.float()

    def compute_joint_contribution(self, window: Tensor, available: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            logits: Tensor = self._mixture.cross(window, available)
        return logits.float()

    def compute_case_weights(self, small: Tensor, available: Tensor) -> Tensor:
        return self._mixture.compute_thumbnail_weights(small, available)

    def move_to(self, device: torch.device) -> "TorchCrossSequenceBackend":
        return TorchCrossSequenceBackend(self._mixture, device, autocast=self._autocast)


def restore_full_resolution(
    contribution: Float[Tensor, "b k h w d"], shape: Sequence[int]
) -> Float[Tensor, "b c x y z"]:
    """Return the logits of a contribution or a mixture of contributions.

    Args:
        contribution: logits of the given shape, or `compute_lattice_logits`.
        shape: sides (x, y, z) of the result.
    """
    return contribution if contribution.shape[2:] == tuple(shape) else refine(contribution)
