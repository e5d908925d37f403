"""The sliding-window engine: windows over the brain's box, experts of the present sequences, gate, mixed logits.

One window grid serves any number of availability sets of the same case, with each expert run once a window.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.utils import BlendMode
from scipy import ndimage
from torch import Tensor

from brats_mm.domain.availability import Availability, flags
from brats_mm.inference.prepare import ModelInput

STRIDE = 32
"""Window sides are multiples of this: the network halves its input five times."""

BACKGROUND_LOGIT = -20.0
"""Beyond the brain: a probability of 2e-9."""

Progress = Callable[[int, int], None]
"""Called with windows done and windows in all; raising from it stops the engine (that is how a run is cancelled)."""


@runtime_checkable
class Mixture(Protocol):
    """What the engine needs of a network."""

    def forward_subsets(self, image: Tensor, subsets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (s, b, c, h, w, d) and gate weights (s, b, m, c)."""


@dataclass(frozen=True)
class WindowSettings:
    """How the box is walked.

    Attributes:
        window: voxels a side, multiples of 32 from 64 up; cut to the box where the box is smaller.
        overlap: share of a window that its neighbour covers too, 0 to below 1.
        keep_weight_maps: also return each gate weight as a map.
    """

    window: tuple[int, int, int] = (128, 128, 128)
    overlap: float = 0.5
    keep_weight_maps: bool = False


@dataclass(frozen=True, eq=False)
class LogitMap:
    """What the network says over the model's box.

    Attributes:
        logits: (c, h, w, d).
        weights: (m, c) gate weights, the mean over the brain's voxels of `weight_maps`.
        weight_maps: (m, c, h, w, d) gate weights blended over windows, if they were asked for.
        window: voxels a side of the windows used.
        windows: how many were run.
    """

    logits: Float[Tensor, "c h w d"]
    weights: Float[Tensor, "m c"]
    weight_maps: Float[Tensor, "m c h w d"] | None
    window: tuple[int, int, int]
    windows: int


@dataclass(frozen=True, eq=False)
class _Walk:
    """Windows over a padded image, and how much each voxel is covered."""

    image: Tensor
    brain: Tensor
    slices: list[tuple[slice, ...]]
    importance: Tensor
    coverage: Tensor
    window: tuple[int, int, int]


@torch.inference_mode()
def run_windows(
    model_input: ModelInput,
    network: Mixture,
    settings: WindowSettings,
    *,
    subsets: Sequence[Availability],
    device: torch.device,
    on_window: Progress | None = None,
) -> dict[Availability, LogitMap]:
    """Logits and gate weights of each wanted availability set.

    Windows are blended with a Gaussian (as nnU-Net and MONAI do); windows without brain are not run.

    Args:
        model_input: from `prepare`; must hold every modality of every subset.
        network: on `device`, in evaluation mode.
        subsets: the availability sets to answer for; `[model_input.available]` for an ordinary case.
    """
    walk = _walk(model_input, settings)
    wanted = torch.tensor([flags(subset) for subset in subsets], device=device)
    sums: list[Tensor] = []
    weight_sums: list[Tensor] = []
    brain_voxels = walk.brain.sum().clamp(min=1)
    means: Tensor | None = None
    for position, window in enumerate(walk.slices):
        patch = walk.image[(slice(None), *window)][None].to(device)
        logits, weights = network.forward_subsets(patch, wanted)
        logits, weights = logits[:, 0].float().cpu(), weights[:, 0].float().cpu()  # (s c h w d), (s m c)
        if not sums:
            sums = [torch.zeros((logits.shape[1], *walk.brain.shape)) for _ in subsets]
            if settings.keep_weight_maps:
                weight_sums = [torch.zeros((*weights.shape[1:], *walk.brain.shape)) for _ in subsets]
        share = walk.importance / walk.coverage[window]
        brain_share = (share * walk.brain[window]).sum() / brain_voxels
        means = weights * brain_share if means is None else means + weights * brain_share
        for index in range(len(subsets)):
            sums[index][(slice(None), *window)] += logits[index] * share
            if weight_sums:
                weight_sums[index][(slice(None), slice(None), *window)] += (
                    weights[index][:, :, None, None, None] * share
                )
        if on_window is not None:
            on_window(position + 1, len(walk.slices))
    assert means is not None, "a box around brain has a window with brain"
    inner = tuple(slice(0, size) for size in model_input.brain.shape)
    beyond = (walk.coverage[inner] == 0) | ~near_brain(model_input.brain)
    return {
        subset: LogitMap(
            sums[index][(slice(None), *inner)].masked_fill_(beyond, BACKGROUND_LOGIT),
            means[index] / means[index].sum(dim=0, keepdim=True),
            weight_sums[index][(slice(None), slice(None), *inner)] if weight_sums else None,
            walk.window,
            len(walk.slices),
        )
        for index, subset in enumerate(subsets)
    }


def near_brain(brain: Bool[Tensor, "h w d"]) -> Bool[Tensor, "h w d"]:
    """Brain with its cavities filled, and one voxel around it: where the network's opinion counts.

    Fluid and cysts can be exactly zero in the only sequence at hand, so cavities belong to the brain.
    """
    whole = ndimage.binary_dilation(ndimage.binary_fill_holes(brain.numpy()))
    return torch.from_numpy(whole)


def _walk(model_input: ModelInput, settings: WindowSettings) -> _Walk:
    box = model_input.brain.shape
    window = _fit(settings.window, box)
    padding = [
        amount for size, side in zip(box[::-1], window[::-1], strict=True) for amount in (0, max(0, side - size))
    ]
    image, brain = F.pad(model_input.image, padding), F.pad(model_input.brain, padding)
    step = tuple(max(1, int(side * (1 - settings.overlap))) for side in window)
    slices = [tuple(place) for place in dense_patch_slices(tuple(brain.shape), window, step)]
    slices = [place for place in slices if bool(brain[place].any())]
    importance = compute_importance_map(window, mode=BlendMode.GAUSSIAN, sigma_scale=0.125)
    coverage = torch.zeros(brain.shape)
    for place in slices:
        coverage[place] += importance
    return _Walk(image, brain, slices, importance, coverage, window)


def _fit(window: tuple[int, int, int], box: Sequence[int]) -> tuple[int, int, int]:
    """The window, no larger than the box rounded up to the network's stride, and never a lone 32^3."""
    fitted = [min(side, -(-size // STRIDE) * STRIDE) for side, size in zip(window, box, strict=True)]
    if all(side == STRIDE for side in fitted):
        fitted[0] = 2 * STRIDE
    return fitted[0], fitted[1], fitted[2]


def window_sizes(window: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
    """The window and smaller ones to try when memory runs out, down to 64^3."""
    side = max(window)
    yield window
    for smaller in (128, 96, 64):
        if smaller < side:
            yield (min(window[0], smaller), min(window[1], smaller), min(window[2], smaller))
