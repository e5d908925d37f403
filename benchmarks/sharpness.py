"""Test whether the sharpness of an image reveals motion and thick slices. It is too unreliable for an input check.

    python benchmarks/sharpness.py split.json --dataset-dir CASES --page docs/trust.md

Each image of each case is compared with copies that have thick slices or motion. Sharpness along each axis is described
by ratios of mean absolute differences between voxels 1, 2, 4 and 6 apart. A logistic regression over these is fitted to
four fifths of the cases and applied to the rest. Its threshold raises an alarm for 3 % of the untouched images.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import machine
import numpy as np
import numpy.typing as npt
import torch
from case_list import case_parser, chosen_cases
from pages import update_page

from brats_mm.domain.label_map import Mask
from brats_mm.domain.resample import find_bounding_box
from brats_mm.domain.volume import Array, Volume
from brats_mm.io.case import read_case

FALSE_ALARMS = 0.03
FOLDS = 5
SLAB_VOXELS = 24
DISTANCES = (1, 2, 4, 6)


Features = npt.NDArray[np.float64]


def sharpness(data: Array, inside: Mask) -> Features:
    """Return three ratios of differences along each axis, and one of differences to the standard deviation."""
    deviation = max(1e-6, float(data[inside].std()))
    values: list[float] = []
    for axis in range(3):
        along, there = np.moveaxis(data, axis, 0), np.moveaxis(inside, axis, 0)
        means = [
            float(np.abs(along[apart:] - along[:-apart])[there[apart:] & there[:-apart]].mean()) for apart in DISTANCES
        ]
        values += [means[0] / means[2], means[1] / means[2], means[3] / means[2], means[2] / deviation]
    return np.array(values)


def thick(slice_voxels: int) -> Callable[[Array, Mask, np.random.Generator], Array]:
    """Average slices along the third axis, and interpolate linearly between them."""

    def change(data: Array, inside: Mask, rng: np.random.Generator) -> Array:
        height = data.shape[2]
        edges = np.linspace(0, height, round(height / slice_voxels) + 1).astype(np.int64)
        weight = np.maximum(np.add.reduceat(inside.astype(np.float32), edges[:-1], axis=2), 1e-3)
        slices = np.add.reduceat(data, edges[:-1], axis=2) / weight
        at = (np.arange(height) + 0.5) * slices.shape[2] / height - 0.5
        low = np.clip(np.floor(at).astype(np.int64), 0, slices.shape[2] - 1)
        high, share = np.minimum(low + 1, slices.shape[2] - 1), np.clip(at - low, 0, 1)
        return np.asarray((slices[..., low] * (1 - share) + slices[..., high] * share) * inside, np.float32)

    return change


def moved(distance_voxels: float, blocks: int = 6) -> Callable[[Array, Mask, np.random.Generator], Array]:
    """Shift the head along the second axis while some blocks of k-space are acquired, but not its centre."""

    def change(data: Array, inside: Mask, rng: np.random.Generator) -> Array:
        size = data.shape[1]
        frequency = np.fft.fftfreq(size)
        order, shift = np.argsort(frequency), np.zeros(size)
        for start, stop in np.sort(rng.choice(size, 2 * blocks, replace=False)).reshape(-1, 2):
            lines = order[start:stop]
            shift[lines[np.abs(frequency[lines]) > 0.04]] = rng.uniform(-distance_voxels, distance_voxels)
        phase = np.exp(-2j * np.pi * frequency * shift)[:, None]
        return np.asarray(np.abs(np.fft.ifft(np.fft.fft(data, axis=1) * phase, axis=1)) * inside, np.float32)

    return change


CHANGES = {"slices of 5 mm": thick(5), "motion of up to 3 mm": moved(3.0), "motion of up to 6 mm": moved(6.0)}


def slab_of(volume: Volume) -> tuple[Array, Mask]:
    """Return the middle of the brain along the first axis, which is enough to measure sharpness."""
    x, y, z = find_bounding_box(volume.foreground)
    middle = (x.start + x.stop) // 2
    box = (slice(middle - SLAB_VOXELS, middle + SLAB_VOXELS), y, z)
    return volume.data[box], volume.foreground[box]


def left_out_scores(plain: Features, changed: Features, case: npt.NDArray[np.int64]) -> tuple[Features, Features]:
    """Return the scores of untouched and changed images, (images,), from regressions without their case."""
    scores = np.zeros((2, len(plain)))
    for fold in range(FOLDS):
        held = case % FOLDS == fold
        mean, scale = plain[~held].mean(axis=0), plain[~held].std(axis=0) + 1e-6
        x = torch.from_numpy((np.concatenate([plain[~held], changed[~held]]) - mean) / scale)
        target = torch.cat([torch.zeros(int((~held).sum())), torch.ones(int((~held).sum()))]).double()
        weights = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([weights], max_iter=200)

        def loss(
            x: torch.Tensor = x,
            target: torch.Tensor = target,
            weights: torch.Tensor = weights,
            optimiser: torch.optim.LBFGS = optimiser,
        ) -> torch.Tensor:
            optimiser.zero_grad()
            error = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights[:-1] + weights[-1], target)
            value = error + 0.01 * weights[:-1].square().sum()
            value.backward()
            return value

        optimiser.step(loss)
        own = weights.detach().numpy()
        for index, features in enumerate((plain, changed)):
            scores[index, held] = (features[held] - mean) / scale @ own[:-1]
    return scores[0], scores[1]


def block(features: Mapping[str, Sequence[Features]], case: Sequence[int]) -> str:
    plain, cases = np.array(features["as they are"]), np.array(case)
    lines = ["| change of one image | found, % | area under the curve |", "|---|---:|---:|"]
    for name in CHANGES:
        untouched, changed = left_out_scores(plain, np.array(features[name]), cases)
        found = float(np.mean(changed > np.quantile(untouched, 1 - FALSE_ALARMS)))
        ahead = changed[:, None] - untouched[None]
        area = float(np.mean(ahead > 0) + np.mean(ahead == 0) / 2)
        lines.append(f"| {name} | {100 * found:.0f} | {area:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = case_parser(__doc__)
    parser.add_argument("--page", type=Path, help="Markdown page whose marked table to replace")
    options = machine.parse(parser)
    rng = np.random.default_rng(0)
    features: dict[str, list[Features]] = {name: [] for name in ("as they are", *CHANGES)}
    case: list[int] = []
    cases = chosen_cases(options)
    for number, labelled in enumerate(cases):
        for volume in read_case(labelled.files).volumes.values():
            data, inside = slab_of(volume)
            case.append(number)
            features["as they are"].append(sharpness(data, inside))
            for name, change in CHANGES.items():
                features[name].append(sharpness(change(data, inside, rng), inside))
        print(labelled.files.name, flush=True)
    made = block(features, case)
    update_page(options.page, {"sharpness": made}, "benchmarks/sharpness.py")
    print(made)


if __name__ == "__main__":
    main()
