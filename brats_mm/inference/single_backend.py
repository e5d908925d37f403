"""Backend for a single or exported network, and the common function to predict windows with any backend."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brats_mm.domain.availability import Availability, to_flags
from brats_mm.inference.backend import Backend, TorchBackend, find_required_experts, mix
from brats_mm.inference.cross_sequence_backend import CrossSequenceBackend, TorchCrossSequenceBackend
from brats_mm.inference.onednn import use_onednn
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from brats_mm.networks.single import SingleNetwork


class SingleBackend:
    """Run a single or exported network in PyTorch on any device, for all availability sets of a window at once.

    TorchScript keeps only `forward`, so an exported mixture has no gate weights here, and each window takes one pass of
    all its networks.

    Args:
        network: the network in evaluation mode. Moved to the device.
        device: device to run on.
    """

    name = "torch"
    precision = "float32"

    def __init__(self, network: SingleNetwork | torch.jit.ScriptModule, device: torch.device) -> None:
        self.device = device
        self._network = use_onednn(network.to(device))

    def compute_logits(
        self, image: Float[Tensor, "b m h w d"], subsets: Sequence[Availability]
    ) -> Float[Tensor, "s b c h w d"]:
        """Return the logits of windows for each availability set, (s, b, c, h, w, d)."""
        sets = torch.tensor([to_flags(subset) for subset in subsets]).repeat_interleave(image.shape[0], dim=0)
        logits: Tensor = self._network(image, sets.to(image.device))
        return logits.float().reshape(len(subsets), image.shape[0], *logits.shape[1:])

    def move_to(self, device: torch.device) -> "SingleBackend":
        """Return this backend on the given or the current device."""
        return SingleBackend(self._network, device)


AnyBackend = Backend | CrossSequenceBackend | SingleBackend
"""A backend for a mixture of experts, or for a single network."""


def create_torch_backend(network: nn.Module, device: torch.device) -> AnyBackend:
    """Return the PyTorch backend for the kind of network.

    Args:
        network: a mixture, a mixture with a cross-sequence expert, or a single network, in evaluation mode.
        device: device to run on.
    """
    if isinstance(network, CrossSequenceMixture):
        return TorchCrossSequenceBackend(network, device)
    if isinstance(network, SingleNetwork | torch.jit.ScriptModule):
        return SingleBackend(network, device)
    return TorchBackend(network, device)


def predict_windows(
    backend: AnyBackend,
    image: Float[Tensor, "b m h w d"],
    subsets: Sequence[Availability],
    on_expert: Callable[[], None] = lambda: None,
) -> tuple[Float[Tensor, "s b c h w d"], Float[Tensor, "s b weighed c *space"]]:
    """Return logits and gate weights of several availability sets of the same windows.

    A single network has no gate weights, so the third dimension of its weights has length 0.

    Args:
        backend: backend of the network.
        image: (b, m, h, w, d) z-scores, zero for missing sequences.
        subsets: s availability sets to predict.
        on_expert: called after each expert pass.

    Returns:
        Logits (s, b, c, h, w, d) and gate weights (s, b, m, c), in the order of `subsets`.
    """
    if not isinstance(backend, SingleBackend):
        assert isinstance(backend, Backend), "a cross-sequence backend runs coarse to fine"
        return mix(backend, image, subsets, on_expert)
    logits = backend.compute_logits(image, subsets)
    for _ in find_required_experts(subsets):
        on_expert()
    return logits, logits.new_zeros((len(subsets), image.shape[0], 0, logits.shape[2]))
