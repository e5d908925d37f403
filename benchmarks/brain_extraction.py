"""Train the small brain extraction network on synthetic heads, and compare it with other methods on unseen heads.

    python benchmarks/brain_extraction.py make CASES --split split.json -o heads      # synthetic heads of 3 mm, once
    python benchmarks/brain_extraction.py train heads --minutes 3                     # CPU minutes, writes the weights
    python benchmarks/brain_extraction.py measure CASES --split split.json --limit 5  # Dice at 2 mm, unseen cases
    python benchmarks/brain_extraction.py agree brain_mask.nii.gz other.nii.gz        # two masks of one real head

CASES holds a folder of skull-stripped sequences for each case. The split is a JSON file with `train` and `validation`.
"""

import argparse
import json
import time
from pathlib import Path

import machine
import numpy as np
import torch
from skull import SIGNAL, Margin, RawHead, Tissue, add_skull
from torch.nn import functional as F

from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.resample import resample_signal
from brats_mm.domain.volume import Grid, Volume
from brats_mm.io.case import find_case, read_case
from brats_mm.io.volume import read_volume
from brats_mm.preprocessing.brain_network import (
    SPACING_MM,
    BrainNetwork,
    load_brain_network,
    normalise,
    store_brain_network,
)

SIDE = (72, 80, 72)
"""Voxels of a training volume, in RAS: 216 x 240 x 216 mm."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make")
    train = commands.add_parser("train")
    measure = commands.add_parser("measure")
    agree = commands.add_parser("agree")
    agree.add_argument("mask", type=Path)
    agree.add_argument("other", type=Path, help="reference mask")
    for one in (make, measure):
        one.add_argument("cases", type=Path)
        one.add_argument("--split", type=Path, required=True)
        one.add_argument("--limit", type=int, default=1000)
    make.add_argument("-o", "--output", type=Path, required=True)
    make.add_argument("--heads", type=int, default=2, help="synthetic heads per case")
    train.add_argument("heads", type=Path)
    train.add_argument("--minutes", type=float, default=8.0)
    train.add_argument("--batch", type=int, default=1)
    train.add_argument("--further", action="store_true", help="continue from the existing weights")
    train.add_argument("--seed", type=int, default=1)
    options = machine.parse(parser)
    run = {"make": make_heads, "train": train_network, "measure": measure_methods, "agree": compare_masks}
    run[options.command](options)


def make_heads(options: argparse.Namespace) -> None:
    """Create heads of 3 mm in RAS, as tissues and stripped sequences."""
    options.output.mkdir(parents=True, exist_ok=True)
    names = json.loads(options.split.read_text())["train"][: options.limit]
    for number, name in enumerate(names):
        case = read_case(find_case(options.cases / name))
        coarse = {modality: _downsample(volume) for modality, volume in case.volumes.items()}
        for seed in range(options.heads):
            rng = np.random.default_rng([number, seed])
            margin = Margin(around_mm=24, below_mm=float(rng.uniform(15, 90)))
            head = add_skull(coarse, seed=number * 100 + seed, margin=margin)
            stripped = np.stack([_strip(head, coarse, modality) for modality in MODALITIES])
            np.savez(options.output / f"{name}-{seed}.npz", tissues=head.tissues, stripped=stripped.astype(np.float16))
        print(number + 1, name, head.grid.shape, flush=True)


def _downsample(volume: Volume, spacing_mm: float = SPACING_MM) -> Volume:
    """Resample to `spacing_mm` and RAS. The cases are axis-aligned."""
    grid = volume.grid
    x, y, z = (max(1, round(n * mm / spacing_mm)) for n, mm in zip(grid.shape, grid.spacing_mm, strict=True))
    data = resample_signal(volume.data, (x, y, z))
    for world in range(3):
        if grid.affine[world, world] < 0:
            data = np.flip(data, world)
    return Volume(np.ascontiguousarray(data), Grid((x, y, z), np.diag([spacing_mm] * 3 + [1.0])))


def _strip(head: RawHead, coarse: dict, modality) -> np.ndarray:
    """Resample the stripped sequence to the head's grid and divide it by its median."""
    before = np.rint((next(iter(coarse.values())).grid.affine - head.grid.affine)[:3, 3] / SPACING_MM).astype(int)
    data = coarse[modality].data
    whole = np.zeros(head.grid.shape, np.float32)
    x, y, z = (slice(b, b + n) for b, n in zip(before, data.shape, strict=True))
    whole[x, y, z] = data / np.median(data[data != 0])
    return whole


def train_network(options: argparse.Namespace) -> None:
    """Train with Adam and a cosine schedule over the given CPU time."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    heads: list[dict] = []
    network = (load_brain_network() if options.further else BrainNetwork()).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-4)
    start, step, recent = time.process_time(), 0, []
    while (gone := (time.process_time() - start) / (60 * options.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 20) * 0.5 * (1 + np.cos(np.pi * gone)) + 1e-5
        if step % 100 == 0 and len(paths := sorted(options.heads.glob("*.npz"))) > len(heads):
            heads = [dict(np.load(path)) for path in paths]
        samples = [synthesise(rng, heads[rng.integers(len(heads))]) for _ in range(options.batch)]
        image, brain = (torch.stack(parts) for parts in zip(*samples, strict=True))
        logits = network(image)
        chance = torch.sigmoid(logits)
        overlap = 2 * (chance * brain).sum((1, 2, 3, 4)) / (chance.sum((1, 2, 3, 4)) + brain.sum((1, 2, 3, 4)) + 1)
        loss = F.binary_cross_entropy_with_logits(logits, brain) + (1 - overlap).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        recent.append(float(overlap.mean().detach()))
        if step % 50 == 0:
            print(f"{step} {100 * gone:.0f} % dice {np.mean(recent[-50:]):.4f}", flush=True)
            store_brain_network(network)
    store_brain_network(network)


def synthesise(rng: np.random.Generator, head: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a training image and its brain mask, (1, *SIDE), with random contrast, pose, field of view and artefacts."""
    tissues, stripped = head["tissues"], head["stripped"]
    modality = MODALITIES[rng.integers(len(MODALITIES))]
    real = rng.random() < 0.6
    if real:
        signal = np.array(SIGNAL[modality]) * rng.lognormal(0, 0.3, len(Tissue)) * rng.uniform(0.8, 1.6)
    else:
        signal = rng.uniform(0, 2, len(Tissue))
    signal[Tissue.AIR] = rng.choice([0, rng.uniform(0, 0.08)])
    brain = stripped[modality.channel].astype(np.float32)
    slices = tissues == Tissue.BRAIN
    if not real:
        brain = np.clip(brain, 0, 3) ** rng.uniform(0.5, 1.6)
        brain = np.where(slices, rng.uniform(1.5, 2.5) - 0.7 * brain if rng.random() < 0.4 else brain, 0)
    image = np.where(slices & (brain != 0), brain, signal.astype(np.float32)[tissues])
    volumes = torch.from_numpy(np.stack([image, slices]).astype(np.float32))[None]
    volumes = _pose(rng, volumes)
    image, slices = volumes[0, :1], (volumes[0, 1:] > 0.5).float()
    image = _degrade(rng, image)
    image, slices = _crop(rng, image, slices)
    return torch.from_numpy(normalise(image.numpy())), slices


def _pose(rng: np.random.Generator, volumes: torch.Tensor) -> torch.Tensor:
    """Rotate, scale and shift. The top of the head stays close to its position at inference."""
    shape = np.array(volumes.shape[2:])
    angles = np.deg2rad(rng.normal(0, 9, 3))
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        one = np.eye(3)
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        one[i, i], one[i, j], one[j, i], one[j, j] = c, -s, s, c
        turn = turn @ one
    turn = turn * rng.uniform(0.92, 1.1)
    if rng.random() < 0.5:
        turn[0] *= -1
    side = np.array(SIDE)
    shift = rng.normal(0, 3, 3)
    shift[2] += (shape[2] - side[2]) / 2  # align the tops, in voxels
    matrix = np.zeros((3, 4))
    for row in range(3):  # grid_sample expects reversed axes, from -1 to 1
        matrix[row, :3] = (turn[2 - row, ::-1] * side[::-1]) / shape[2 - row]
        matrix[row, 3] = 2 * shift[2 - row] / shape[2 - row]
    where = F.affine_grid(torch.from_numpy(matrix).float()[None], [1, 2, *SIDE], align_corners=False)
    return F.grid_sample(volumes, where, align_corners=False, padding_mode="zeros")


def _degrade(rng: np.random.Generator, image: torch.Tensor) -> torch.Tensor:
    """Add a bias field, thick slices and noise."""
    bias = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.35), (1, 1, 4, 4, 4))).float()
    image = image * torch.exp(F.interpolate(bias, SIDE, mode="trilinear", align_corners=True))[0]
    if rng.random() < 0.5:
        size = list(SIDE)
        axis = int(rng.choice([0, 1, 2, 2]))
        size[axis] //= 2
        image = F.interpolate(F.adaptive_avg_pool3d(image[None], size), SIDE, mode="trilinear")[0]
    level = rng.uniform(0, 0.08)
    noise = torch.from_numpy(rng.normal(0, level, (2, *SIDE))).float()
    return torch.hypot(image + noise[:1], noise[1:])


def _crop(rng: np.random.Generator, image: torch.Tensor, slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the field of view, mostly at the bottom."""
    if rng.random() < 0.5:
        low = int(rng.integers(0, 30))
        image[..., :low], slices[..., :low] = 0, 0
    if rng.random() < 0.15:
        high = int(rng.integers(1, 14))
        image[..., -high:], slices[..., -high:] = 0, 0
    return image, slices


def measure_methods(options: argparse.Namespace) -> None:
    """Print the Dice of each method on synthetic heads of unseen cases at 2 mm, per case and on average."""
    from brain_classical import extract_brain_classically

    from brats_mm.preprocessing.brain import extract_brain

    rows = []
    for number, name in enumerate(json.loads(options.split.read_text())["validation"][: options.limit]):
        case = read_case(find_case(options.cases / name))
        coarse = {modality: _downsample(volume, 2.0) for modality, volume in case.volumes.items()}
        head = add_skull(coarse, seed=9000 + number, margin=Margin(12.0, 15 + 12.0 * (number % 8)))
        images = {modality: volume.data for modality, volume in head.images.items()}
        row = {"case": name}
        for method, find in (("network", extract_brain), ("classical", extract_brain_classically)):
            start = time.perf_counter()
            mask = find(images, head.grid)
            row[f"{method}_s"] = round(time.perf_counter() - start, 1)
            row[f"{method}_dice"] = round(dice(mask.mask, head.brain), 4)
        for modality, image in images.items():
            row[f"network_{modality.value}_dice"] = round(
                dice(extract_brain({modality: image}, head.grid).mask, head.brain), 4
            )
        print(json.dumps(row), flush=True)
        rows.append(row)
    for key in rows[0]:
        if key != "case":
            values = [row[key] for row in rows]
            print(f"{key}: mean {np.mean(values):.3f}, worst {min(values) if 'dice' in key else max(values):.3f}")


def compare_masks(options: argparse.Namespace) -> None:
    """Compute the Dice of two masks on one grid, and missing and excess voxels as shares of the second mask."""
    predicted, true = (read_volume(path).data > 0.5 for path in (options.mask, options.other))
    missed, extra = ((one & ~other).sum() / true.sum() for one, other in ((true, predicted), (predicted, true)))
    print(f"dice {dice(predicted, true):.3f}, missed {missed:.1%}, extra {extra:.1%}")


def dice(predicted: np.ndarray, true: np.ndarray) -> float:
    return float(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))


if __name__ == "__main__":
    main()
