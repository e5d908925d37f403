"""Coarse to fine: modality experts over the whole brain, and the cross-sequence expert near suspected tumour.

The modality experts compute on a lattice of 2 mm and provide context. The cross-sequence expert runs at 1 mm in the box
around voxels in which their mixture suspects tumour. Outside of the box, their mixture is the result.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from brats_mm.domain.availability import Availability, sort_modalities, to_flags
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.inference.backend import find_required_experts, flip_spatial
from brats_mm.inference.cross_sequence_backend import CrossSequenceBackend, restore_full_resolution
from brats_mm.inference.prepare import ModelInput
from brats_mm.inference.windows import STRIDE, WindowGrid, cover, plan_windows
from brats_mm.networks.case_gate import make_thumbnail
from brats_mm.networks.subvoxel import FACTOR

SUSPICION = 0.05
"""Probability of any region above which the cross-sequence expert runs."""

MARGIN = 8
"""Margin in voxels around the suspicious box that the cross-sequence expert also reads."""

REACH = 6
"""Distance in voxels from a suspicious voxel up to which the cross-sequence expert contributes."""

FADE = 4
"""Distance in voxels over which the weight of the cross-sequence expert falls to 0 at its border and inner box faces.
"""

MIN_SIDE = 80
"""Minimum side of the box in voxels: the cross-sequence expert was trained on crops of this size and larger."""

FINE_WINDOW = (96, 96, 96)
FINE_OVERLAP = 0.5
FINE_MARGIN = 16
"""Margin in voxels of the windows of the cross-sequence expert around the voxels that they cover."""

EXPECTED_FINE_WINDOWS = 8
"""Expected number of windows of the cross-sequence expert, usually 1 to 13. Progress uses it until the number is known.
"""

LATTICE = FACTOR
"""Number of image voxels per voxel of the modality experts' lattice, along each side."""

COARSE_MULTIPLE = 32
"""Sides of clipped windows of the modality experts are multiples of this many voxels."""


Progress = Callable[[int, int], None]


class PassCounter:
    """Counts expert passes and reports progress. More passes can be announced during a run."""

    def __init__(self, total: int, on_pass: Progress | None) -> None:
        self._done, self.total, self._on_pass = 0, total, on_pass

    def __call__(self) -> None:
        self._done += 1
        if self._on_pass is not None:
            self._on_pass(self._done, max(self._done, self.total))


def compute_coarse_contributions(
    image: Float[Tensor, "m x y z"],
    windows: WindowGrid,
    backend: CrossSequenceBackend,
    modalities: Sequence[Modality],
    tta_flips: Sequence[Sequence[int]],
    count: Callable[[], None],
) -> Iterator[tuple[Modality, Float[Tensor, "k h w d"]]]:
    """Compute each modality expert's contribution over the padded box.

    It is `compute_lattice_logits` if one window covers the box, and otherwise logits of windows blended by a Gaussian.

    Args:
        image: (m, x, y, z) z-scores of the box without padding.
        windows: windows over the box.
        backend: backend to run the experts.
        modalities: modalities whose experts to run.
        tta_flips: flipped views to average, each by the axes to flip.
        count: called after each expert pass.

    Returns:
        Pairs of a modality and its contribution. Each expert runs when its pair is requested.
    """
    single = len(windows.positions) == 1 and windows.window == windows.padded
    coverage = None if single else windows.coverage.to(image.device).clamp(min=1e-12)
    for modality in modalities:
        channel = F.pad(image[modality.channel : modality.channel + 1], windows.padding)
        if coverage is None and _is_plain(tta_flips):
            contribution = backend.compute_lattice_contribution(modality, channel[None])[0]
            count()
            yield modality, contribution
            continue
        total: Tensor | None = None
        for position in windows.positions:
            patch = channel[(slice(None), *position)][None]
            logits = _average_views(partial(backend.compute_contribution, modality), patch, tta_flips)[0]
            count()
            if coverage is None:
                total = logits
                continue
            total = logits.new_zeros((logits.shape[0], *windows.padded)) if total is None else total
            total[(slice(None), *position)] += logits * (windows.importance.to(image.device) / coverage[position])
        assert total is not None, "a box has a window"
        yield modality, total


def find_suspicious_voxels(logits: Float[Tensor, "c x y z"], brain: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """Return the brain voxels where the probability of any region exceeds `SUSPICION`.

    Args:
        logits: (c, x, y, z) region logits.
        brain: (x, y, z) mask of the voxels to consider.
    """
    return (logits.amax(dim=0) > float(torch.logit(torch.tensor(SUSPICION)))) & brain


def compute_nearness(voxels: Bool[Tensor, "h w d"]) -> Float[Tensor, "h w d"]:
    """Return 1 within `REACH` voxels of the given voxels along each axis, falling to 0 over `FADE` more voxels.

    Training crops are centred on tumour more often than windows of a whole brain, so the cross-sequence expert predicts
    more false tumour far from the suspicious voxels.
    """
    grown = voxels
    for axis in range(3):
        grown = _grow(grown, axis, REACH + FADE // 2)
    weight, counts = grown.to(torch.uint8), torch.ones((), device=voxels.device)
    for axis, size in enumerate(voxels.shape):  # the mean of FADE + 1 voxels along each axis, at most 125 ones
        weight = _sum_around(weight, axis, FADE // 2)
        line = _sum_around(torch.ones(size, dtype=torch.uint8, device=voxels.device), 0, FADE // 2)
        counts = counts * line.float().reshape([-1 if other == axis else 1 for other in range(3)])
    return weight / counts


def _grow(voxels: Bool[Tensor, "h w d"], axis: int, reach: int) -> Bool[Tensor, "h w d"]:
    """Return whether a voxel lies within `reach` voxels of a given one along an axis."""
    done = 0
    while done < reach:
        step = min(done + 1, reach - done)  # a larger step would leave a gap next to a voxel on the border
        larger = voxels.clone()
        rest = voxels.shape[axis] - step
        if rest > 0:
            larger.narrow(axis, step, rest).logical_or_(voxels.narrow(axis, 0, rest))
            larger.narrow(axis, 0, rest).logical_or_(voxels.narrow(axis, step, rest))
        voxels, done = larger, done + step
    return voxels


def _sum_around(values: Tensor, axis: int, reach: int) -> Tensor:
    """Return the sum of the values within `reach` voxels along an axis."""
    total = values.clone()
    for step in range(1, reach + 1):
        rest = values.shape[axis] - step
        if rest > 0:
            total.narrow(axis, step, rest).add_(values.narrow(axis, 0, rest))
            total.narrow(axis, 0, rest).add_(values.narrow(axis, step, rest))
    return total


def find_suspicious_box(
    suspicious: Bool[Tensor, "x y z"],
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None:
    """Return the box around suspicious voxels with a margin, (start, stop) per axis, or None for an empty mask."""
    bounds = []
    for axis, size in enumerate(suspicious.shape):
        other_axes = tuple(other_axis for other_axis in range(3) if other_axis != axis)
        line = torch.nonzero(suspicious.amax(dim=other_axes)).flatten()
        if not len(line):
            return None
        first, last = max(0, int(line[0]) - MARGIN), min(size, int(line[-1]) + 1 + MARGIN)
        short = min(size, MIN_SIDE) - (last - first)
        if short > 0:
            first = min(max(0, first - short // 2), size - min(size, MIN_SIDE))
            last = first + min(size, MIN_SIDE)
        bounds.append((first, last))
    return bounds[0], bounds[1], bounds[2]


def add_joint(
    mixture: Float[Tensor, "c x y z"],
    image: Float[Tensor, "m x y z"],
    brain: Bool[Tensor, "x y z"],
    subset: Availability,
    weight: Float[Tensor, " c"],
    backend: CrossSequenceBackend,
    tta_flips: Sequence[Sequence[int]],
    count: PassCounter,
) -> int:
    """Mix the cross-sequence expert into `mixture` in place near suspicious voxels. Return the number of windows.

    Args:
        mixture: logits of the modality experts, whose weights sum to 1.
        image: image of the whole box.
        brain: mask of the voxels to consider.
        subset: sequences that the expert sees.
        weight: weight of the cross-sequence expert for each region.
        backend: backend to run it.
        tta_flips: flipped views to average.
        count: called after each pass.
    """
    suspicious = find_suspicious_voxels(mixture, brain)
    box = find_suspicious_box(suspicious)
    if box is None:
        count.total -= EXPECTED_FINE_WINDOWS
        return 0
    inside = tuple(slice(first, last) for first, last in box)
    available = torch.tensor(to_flags(subset), device=image.device)
    part = image[(slice(None), *inside)] * available[:, None, None, None]
    presence = compute_fade(box, tuple(mixture.shape[1:])).to(image.device) * compute_nearness(suspicious[inside])
    windows = place_fine_windows((presence > 0).cpu())
    padded = F.pad(part, windows.padding)
    total: Tensor | None = None
    importance, coverage = windows.importance.to(image.device), windows.coverage.to(image.device).clamp(min=1e-12)
    count.total += len(windows.positions) - EXPECTED_FINE_WINDOWS
    for position in windows.positions:
        patch = padded[(slice(None), *position)][None]
        logits = _average_views(lambda x: backend.compute_joint_contribution(x, available[None]), patch, tta_flips)[0]
        count()
        total = logits.new_zeros((logits.shape[0], *padded.shape[1:])) if total is None else total
        total[(slice(None), *position)] += logits * (importance / coverage[position])
    assert total is not None, "a box has a window"
    joint = total[:, : part.shape[1], : part.shape[2], : part.shape[3]]
    share = weight.to(joint.dtype)[:, None, None, None] * presence.to(joint.dtype)
    mixture[(slice(None), *inside)].mul_(1 - share).add_(share * joint)
    return len(windows.positions)


def place_fine_windows(voxels: Bool[Tensor, "h w d"]) -> WindowGrid:
    """Place the windows of the cross-sequence expert: a regular grid, or fewer windows if these cover the voxels."""
    scan = plan_windows(voxels, FINE_WINDOW, FINE_OVERLAP)
    fewer = cover(voxels, FINE_WINDOW, FINE_MARGIN)
    return fewer if len(fewer.positions) < len(scan.positions) else scan


def compute_fade(box: Sequence[tuple[int, int]], shape: Sequence[int]) -> Float[Tensor, "h w d"]:
    """Return the weight of the cross-sequence expert in its box: 1, fading over `FADE` voxels towards inner faces.

    A face on the border of the brain's box does not fade. Without fading, the box would be visible in the entropy.

    Args:
        box: (start, stop) of the expert's box along each axis.
        shape: shape of the brain's box.

    Returns:
        Weights from 0 to 1, of the shape of `box`.
    """
    profiles = []
    for (first, last), size in zip(box, shape, strict=True):
        profile = torch.ones(last - first)
        steps = min(FADE, last - first)
        ramp = (torch.arange(steps) + 1) / (FADE + 1)
        if first > 0:
            profile[:steps] = ramp
        if last < size:
            profile[len(profile) - steps :] = torch.minimum(profile[len(profile) - steps :], ramp.flip(0))
        profiles.append(profile)
    return profiles[0][:, None, None] * profiles[1][:, None] * profiles[2]


def mix_modalities(
    contributions: Iterable[tuple[Modality, Float[Tensor, "k h w d"]]],
    subset: Availability,
    weights: Float[Tensor, "e c"],
) -> Float[Tensor, "k h w d"]:
    """Return the mixture of the modality experts, with their weights scaled to sum to 1.

    Args:
        contributions: modalities with the contributions of their experts, logits or `compute_lattice_logits`.
        subset: modalities to mix. Others are skipped.
        weights: (e, c) gate weights, modality experts first.

    Returns:
        Mixture in the form of the contributions.
    """
    shares = weights[[modality.channel for modality in sort_modalities(subset)]].sum(dim=0).clamp(min=1e-12)
    mixture: Tensor | None = None
    for modality, contribution in contributions:
        if modality not in subset:
            continue
        share = weights[modality.channel] / shares
        if len(contribution) > len(share):  # lattice logits: each region, then the voxels of a block by region
            share = torch.cat([share, share.repeat_interleave(len(contribution) // len(share) - 1)])
        share = share[:, None, None, None].to(contribution.dtype)
        mixture = contribution * share if mixture is None else mixture.addcmul_(contribution, share)
    assert mixture is not None, "a subset has a sequence"
    return mixture


def run_stages(
    model_input: ModelInput,
    backend: CrossSequenceBackend,
    window: tuple[int, int, int],
    overlap: float,
    tta_flips: Sequence[Sequence[int]],
    subsets: Sequence[Availability],
    on_pass: Progress | None,
) -> Iterator[tuple[Availability, Float[Tensor, "c h w d"], Float[Tensor, "e c"], WindowGrid, int]]:
    """Compute logits over the model's box and gate weights of each subset, the window grid and the number of windows.

    Args:
        model_input: result of `prepare` at the voxel size of the cross-sequence expert.
        backend: backend to run the network.
        window: window sides in voxels for the modality experts.
        overlap: overlap of their windows.
        tta_flips: flipped views to average.
        subsets: availability sets to predict.
        on_pass: called with the numbers of finished and total expert passes.
    """
    windows = plan_windows(model_input.brain, window, overlap, COARSE_MULTIPLE, LATTICE * STRIDE)
    image = model_input.image.to(backend.device, non_blocking=True)
    x, y, z = model_input.brain.shape
    brain = model_input.brain.to(backend.device)
    modalities = find_required_experts(subsets)
    count = PassCounter(len(modalities) * len(windows.positions) + EXPECTED_FINE_WINDOWS * len(subsets), on_pass)
    contributions: Iterable[tuple[Modality, Tensor]]
    contributions = compute_coarse_contributions(image, windows, backend, modalities, tta_flips, count)
    if len(subsets) > 1:
        contributions = list(contributions)
    small = make_thumbnail(image[None])
    for subset in subsets:
        available = torch.tensor([to_flags(subset)], device=backend.device)
        weights = backend.compute_case_weights(small, available)[0].float()
        mixed = mix_modalities(contributions, subset, weights)
        mixture = restore_full_resolution(mixed[None], windows.padded)[0][:, :x, :y, :z]
        del mixed
        ran = add_joint(mixture, image, brain, subset, weights[-1], backend, tta_flips, count)
        yield subset, mixture, weights, windows, len(windows.positions) + ran


def compute_modality_shares(weights: Float[Tensor, "e c"]) -> Float[Tensor, "m c"]:
    """Return the gate weights of the modality experts, scaled to sum to 1 for each region."""
    single = weights[: len(MODALITIES)]
    return single / single.sum(dim=0, keepdim=True).clamp(min=1e-12)


def _is_plain(tta_flips: Sequence[Sequence[int]]) -> bool:
    """Return whether the only view is not flipped."""
    return len(tta_flips) == 1 and not tta_flips[0]


def _average_views(run: Callable[[Tensor], Tensor], patch: Tensor, tta_flips: Sequence[Sequence[int]]) -> Tensor:
    if _is_plain(tta_flips):
        return run(patch)
    views = [flip_spatial(run(flip_spatial(patch, axes)), axes) for axes in tta_flips]
    return views[0] if len(views) == 1 else torch.stack(views).mean(dim=0)
