"""Sliding-window engine: windows over the brain's box, experts of the available sequences, gate, mixed logits.

One window grid serves any number of availability sets of a case. Each expert runs once per window.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from brats_mm.domain.availability import Availability
from brats_mm.inference.backend import find_required_experts, flip_spatial
from brats_mm.inference.coarse_to_fine import LATTICE, PassCounter, compute_modality_shares, run_stages
from brats_mm.inference.cross_sequence_backend import CrossSequenceBackend
from brats_mm.inference.prepare import ModelInput
from brats_mm.inference.single_backend import AnyBackend, predict_windows
from brats_mm.inference.windows import MULTIPLE, WindowGrid, plan_windows

BACKGROUND_LOGIT = -20.0
"""Logit outside the brain: a probability of 2e-9."""

Progress = Callable[[int, int], None]
"""Called with the numbers of finished and total expert passes. Raise from it to cancel the run."""

NO_FLIP: tuple[int, ...] = ()
LEFT_RIGHT: tuple[int, ...] = (0,)
"""Axes of the box to mirror. The first axis runs from left to right."""


@dataclass(frozen=True)
class WindowSettings:
    """Settings of the sliding window.

    Attributes:
        window: window sides in voxels, multiples of 32 from 64. Clipped to smaller boxes.
        overlap: overlap of neighbouring windows as a fraction, 0 to below 1.
        keep_weight_maps: also return each gate weight as a map.
        tta_flips: flipped views to average, each by the axes to flip.
        multiple: 8, 16 or 32. The sides of clipped windows are multiples of it.
    """

    window: tuple[int, int, int] = (128, 128, 128)
    overlap: float = 0.5
    keep_weight_maps: bool = False
    tta_flips: tuple[tuple[int, ...], ...] = (NO_FLIP,)
    multiple: int = MULTIPLE


PRESETS: dict[str, WindowSettings] = {
    "default": WindowSettings(),
    "fast": WindowSettings(multiple=MULTIPLE // 2),
    "tta": WindowSettings(tta_flips=(NO_FLIP, LEFT_RIGHT)),
}
"""Presets from fast to accurate. `benchmarks/inference_settings.py` measures them."""


@dataclass(frozen=True, eq=False)
class LogitMap:
    """Result of the network over the model's box.

    Attributes:
        logits: (c, h, w, d).
        weights: (m, c) gate weights, averaged over the brain. (0, c) for a network without a gate, as in the maps.
        weight_maps: (m, c, h, w, d) gate weights blended over windows, if requested.
        window: sides of the windows in voxels.
        windows: number of windows.
        joint_weights: (c,) gate weights of the cross-sequence expert, for a network with one. `weights` are then the
            shares of the modality experts.
    """

    logits: Float[Tensor, "c h w d"]
    weights: Float[Tensor, "m c"]
    weight_maps: Float[Tensor, "m c h w d"] | None
    window: tuple[int, int, int]
    windows: int
    joint_weights: Float[Tensor, " c"] | None = None


@dataclass(frozen=True, eq=False)
class _Blend:
    """Sums over windows on the backend's device: logits, gate weights and gate weight maps."""

    logits: Float[Tensor, "s c x y z"]
    weights: Float[Tensor, "s m c"]
    weight_maps: Float[Tensor, "s m c x y z"] | None


@torch.inference_mode()
def run_windows(
    model_input: ModelInput,
    backend: AnyBackend,
    settings: WindowSettings,
    *,
    subsets: Sequence[Availability],
    on_window: Progress | None = None,
) -> dict[Availability, LogitMap]:
    """Return logits and gate weights of each availability set.

    Windows are blended with a Gaussian, as in nnU-Net and MONAI. Windows without brain are skipped. An asynchronous
    device is synchronised once, at the end.

    Args:
        model_input: result of `prepare`. Must contain all modalities of all subsets.
        backend: backend to run the network.
        settings: size, overlap and flips of the windows.
        subsets: availability sets to predict. `[model_input.available]` for an ordinary case.
        on_window: called with the numbers of finished and total expert passes.
    """
    if isinstance(backend, CrossSequenceBackend):
        return _run_coarse_to_fine(model_input, backend, settings, subsets, on_window)
    windows = plan_windows(model_input.brain, settings.window, settings.overlap, settings.multiple)
    blend = _blend(model_input, windows, backend, settings, subsets, on_window)
    x, y, z = model_input.brain.shape
    outside = (windows.coverage[:x, :y, :z] == 0) | ~find_near_brain(model_input.brain)
    logits = blend.logits[..., :x, :y, :z].cpu().masked_fill_(outside, BACKGROUND_LOGIT)
    weights = blend.weights.cpu()
    maps = None if blend.weight_maps is None else blend.weight_maps[..., :x, :y, :z].cpu()
    return {
        subset: LogitMap(
            logits[index],
            weights[index] / weights[index].sum(dim=0, keepdim=True),
            None if maps is None else maps[index],
            windows.window,
            len(windows.positions),
        )
        for index, subset in enumerate(subsets)
    }


def _run_coarse_to_fine(
    model_input: ModelInput,
    backend: CrossSequenceBackend,
    settings: WindowSettings,
    subsets: Sequence[Availability],
    on_window: Progress | None,
) -> dict[Availability, LogitMap]:
    """Run a mixture with a cross-sequence expert, like `run_windows`. Windows have twice as many voxels per side."""
    outside = ~find_near_brain(model_input.brain)
    x, y, z = settings.window
    window = (LATTICE * x, LATTICE * y, LATTICE * z)
    results: dict[Availability, LogitMap] = {}
    stages = run_stages(model_input, backend, window, settings.overlap, settings.tta_flips, subsets, on_window)
    for subset, logits, weights, windows, ran in stages:
        shares = compute_modality_shares(weights).cpu()
        maps = None
        if settings.keep_weight_maps:
            maps = shares[:, :, None, None, None].expand(*shares.shape, *model_input.brain.shape)
        complete = logits.cpu().masked_fill(outside, BACKGROUND_LOGIT)
        results[subset] = LogitMap(complete, shares, maps, windows.window, ran, weights[-1].cpu())
    return results


def _blend(
    model_input: ModelInput,
    windows: WindowGrid,
    backend: AnyBackend,
    settings: WindowSettings,
    subsets: Sequence[Availability],
    on_window: Progress | None,
) -> _Blend:
    device = backend.device
    image = F.pad(model_input.image.to(device, non_blocking=True), windows.padding)
    importance, coverage = windows.importance.to(device), windows.coverage.to(device).clamp(min=1e-12)
    passes = len(windows.positions) * len(settings.tta_flips) * len(find_required_experts(subsets))
    count = PassCounter(passes, on_window)
    blend: _Blend | None = None
    for position, brain_share in zip(windows.positions, windows.compute_shares(model_input.brain), strict=True):
        patch = image[(slice(None), *position)][None]
        logits, weights = _predict_flipped(backend, patch, subsets, settings.tta_flips, count)
        blend = blend or _create_blend(logits, weights, coverage, settings)
        share = importance / coverage[position]
        blend.logits[(..., *position)] += logits[:, 0] * share
        blend.weights.add_(weights[:, 0], alpha=brain_share)
        if blend.weight_maps is not None:
            blend.weight_maps[(..., *position)] += weights[:, 0, ..., None, None, None] * share
    assert blend is not None, "a box around brain has a window with brain"
    return blend


def _predict_flipped(
    backend: AnyBackend,
    patches: Float[Tensor, "b m h w d"],
    subsets: Sequence[Availability],
    tta_flips: tuple[tuple[int, ...], ...],
    on_expert: Callable[[], None],
) -> tuple[Float[Tensor, "s b c h w d"], Float[Tensor, "s b weighed c"]]:
    """Return the mean over flipped views, flipped back."""
    views = []
    for axes in tta_flips:
        logits, weights = predict_windows(backend, flip_spatial(patches, axes), subsets, on_expert)
        views.append((flip_spatial(logits, axes), weights))
    if len(views) == 1:
        return views[0]
    return torch.stack([view for view, _ in views]).mean(dim=0), torch.stack([view for _, view in views]).mean(dim=0)


def _create_blend(
    logits: Float[Tensor, "s b c h w d"],
    weights: Float[Tensor, "s b m c"],
    coverage: Float[Tensor, "x y z"],
    settings: WindowSettings,
) -> _Blend:
    sets, _, regions = logits.shape[:3]
    box = coverage.shape
    maps = weights.new_zeros((sets, *weights.shape[2:], *box)) if settings.keep_weight_maps else None
    return _Blend(logits.new_zeros((sets, regions, *box)), torch.zeros_like(weights[:, 0]), maps)


def find_near_brain(brain: Bool[Tensor, "h w d"]) -> Bool[Tensor, "h w d"]:
    """Return the mask to limit predictions to: the brain with filled cavities and a margin of one voxel.

    Fluid and cysts can be exactly zero in the only available sequence, so cavities belong to the brain.
    """
    dilated = ndimage.binary_dilation(ndimage.binary_fill_holes(brain.numpy()))
    return torch.from_numpy(dilated)


def iterate_window_sizes(window: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
    """Return the window and smaller windows to try if memory runs out, down to 64^3."""
    side = max(window)
    yield window
    for smaller in (128, 96, 64):
        if smaller < side:
            yield (min(window[0], smaller), min(window[1], smaller), min(window[2], smaller))
