"""Interface of backends for experts and gate, and the mixing function that they share."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brats_mm.domain.availability import Availability, sort_modalities, to_flags
from brats_mm.domain.modality import Modality
from brats_mm.inference.onednn import use_onednn
from brats_mm.networks.mixing import compute_modality_weights, unsqueeze_to


class ExpertBackend(Protocol):
    """The modality experts of a mixture, run by an engine.

    Attributes:
        name: `torch` or `openvino`.
        precision: precision of the arithmetic, `float32` or `bfloat16`. Results are mixed in float32.
        device: device of the windows and results.
    """

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def compute_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        """Return the output (b, c, h, w, d) of one expert for windows (b, 1, h, w, d).

        Args:
            modality: modality of the expert.
            window: (b, 1, h, w, d) z-scores.

        Returns:
            Tensor (b, c, h, w, d): logits, probabilities or features, as the mixture mixes them.
        """

    def move_to(self, device: torch.device) -> "ExpertBackend":
        """Return this backend on the given or the current device."""


@runtime_checkable
class Backend(ExpertBackend, Protocol):
    """The parts of a mixture with a window gate, run by an engine."""

    def compute_gate_values(self, image: Tensor) -> Tensor:
        """Return raw gate values (b, m, c) of windows (b, m, h, w, d) whose missing sequences are zero.

        Args:
            image: (b, m, h, w, d) z-scores, zero for missing sequences.

        Returns:
            Tensor (b, m, c), unbounded. `networks.mixing.compute_modality_weights` converts it to weights.
        """

    def compute_logits(self, mixture: Tensor) -> Tensor:
        """Return the logits of a mixture of contributions."""

    def move_to(self, device: torch.device) -> "Backend":
        """Return this backend on the given or the current device."""


class TorchBackend:
    """A mixture in PyTorch, on any device.

    Convolutions use the channels-last layout, which is faster on all tested devices. No call waits for the device.

    Args:
        network: a mixture in evaluation mode, such as `networks.presets.simmlm()`. Moved to the device.
        device: device to run on.
        autocast: compute convolutions in bfloat16. Normalisation stays in float32.
    """

    name = "torch"

    def __init__(self, network: nn.Module, device: torch.device, *, autocast: bool = False) -> None:
        self.device = device
        self.precision = "bfloat16" if autocast else "float32"
        self._autocast = autocast
        self._network = use_onednn(network.to(device))

    def compute_contribution(self, modality: Modality, window: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            contribution: Tensor = self._network.get_submodule(f"experts.{modality.value}")(window)
        return contribution

    def compute_gate_values(self, image: Tensor) -> Tensor:
        values: Tensor = self._network.get_submodule("gate")(image)
        return values

    def compute_logits(self, mixture: Tensor) -> Tensor:
        logits: Tensor = self._network.get_submodule("output_layer")(mixture)
        return logits

    def move_to(self, device: torch.device) -> "TorchBackend":
        return TorchBackend(self._network, device, autocast=self._autocast)


def mix(
    backend: Backend,
    image: Float[Tensor, "b m h w d"],
    subsets: Sequence[Availability],
    on_expert: Callable[[], None] = lambda: None,
) -> tuple[Float[Tensor, "s b c h w d"], Float[Tensor, "s b m c"]]:
    """Return logits and gate weights of the same windows for several availability sets. Experts run at most once.

    Args:
        backend: experts and gate.
        image: (b, m, h, w, d) z-scores.
        subsets: s availability sets to predict.
        on_expert: called after each expert pass.

    Returns:
        Logits (s, b, c, h, w, d) and gate weights (s, b, m, c), in the order of `subsets`.
    """
    contributions = {}
    for modality in find_required_experts(subsets):
        contributions[modality] = backend.compute_contribution(
            modality, image[:, modality.channel : modality.channel + 1]
        )
        on_expert()
    logits, weights = [], []
    for subset in subsets:
        at_hand = torch.tensor(to_flags(subset)).to(image.device, non_blocking=True)
        hidden = image.masked_fill(~at_hand[None, :, None, None, None], 0.0)
        weight = compute_modality_weights(
            backend.compute_gate_values(hidden).float(), at_hand.expand(image.shape[0], -1)
        )  # (b m c)
        first, *others = sort_modalities(subset)
        mixture = _apply_weight(contributions[first], weight[:, first.channel])
        for modality in others:
            mixture += _apply_weight(contributions[modality], weight[:, modality.channel])
        logits.append(backend.compute_logits(mixture).float())
        shares = weight.flatten(3).mean(dim=3) if weight.dim() > 3 else weight  # mean over the window
        weights.append(shares.expand(-1, -1, logits[-1].shape[1]))  # expand a weight that all regions share
    return torch.stack(logits), torch.stack(weights)


def find_required_experts(subsets: Sequence[Availability]) -> tuple[Modality, ...]:
    """Return the experts that must run for these sets."""
    return sort_modalities(frozenset().union(*subsets))


def _apply_weight(
    contribution: Float[Tensor, "b c h w d"], weight: Float[Tensor, "b k *space"]
) -> Float[Tensor, "b c h w d"]:
    """Apply weights in float32, independent of the expert's precision."""
    return contribution * unsqueeze_to(weight, contribution.dim())


def flip_spatial(volume: Tensor, axes: Sequence[int]) -> Tensor:
    """Flip the spatial axes (..., h, w, d) with the given indices, 0 to 2.

    Args:
        volume: tensor with the spatial axes h, w and d last.
        axes: spatial axes to flip: 0 for h, 1 for w, 2 for d.
    """
    return volume.flip([volume.dim() - 3 + axis for axis in axes])
