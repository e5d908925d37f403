"""Train a network on packed cases for a given number of minutes, on a CPU or a GPU, with resume."""

import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from brats_mm.domain.modality import Modality
from brats_mm.errors import TrainingError
from brats_mm.execution.malloc_tuning import tune_malloc
from brats_mm.losses.distillation import subset_distillation
from brats_mm.losses.tumour import bce_inside_tumour, level_loss
from brats_mm.networks.mixing import detect_available
from brats_mm.training.checkpoints import atomic_save
from brats_mm.training.schedule import compute_timed_share
from brats_mm.training.timed.crops import Crop, CropSettings, draw_crop
from brats_mm.training.timed.muon import Muon, select_kernels
from brats_mm.training.timed.packing import PackedCase
from brats_mm.training.timed.views import ViewSettings, draw_subset

logger = logging.getLogger(__name__)

MAX_SKIPPED = 20
"""Number of consecutive steps with non-finite gradients after which training stops."""


@dataclass(frozen=True)
class LoopSettings:
    """Settings of a timed training run.

    Attributes:
        minutes: training time in minutes, over all runs.
        sides: pairs of a fraction of the training time and the side of the crops in voxels from then on.
        batch: crops per step.
        learning_rate: peak learning rate, which falls to zero along a half cosine.
        warmup: fraction of the time over which the learning rate rises.
        ema_decay: decay of the moving average of the weights, which is the result.
        save_minutes: minutes between checkpoints.
        views: frequencies of the subsets of sequences that the crops show.
        optimizer: `adamw`, or `muon` for the convolution kernels and AdamW for the other weights.
        enhancement_boost: factor of the frequency of cases with little enhancement among views with T1ce, at least 1.
    """

    minutes: float
    sides: tuple[tuple[float, int], ...] = ((0.0, 80), (0.5, 96), (0.88, 112))
    batch: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.01
    clip_norm: float = 5.0
    ema_decay: float = 0.998
    save_minutes: float = 4.0
    views: ViewSettings = field(default_factory=ViewSettings)
    optimizer: str = "adamw"
    enhancement_boost: float = 1.0
    seed: int = 1
    workers: int = 1
    precision: torch.dtype | None = torch.bfloat16


def choose_side(share: float, sides: Sequence[tuple[float, int]]) -> int:
    """Return the side of the crops in voxels at a fraction of the time.

    Args:
        share: fraction of the training time, 0 to 1.
        sides: pairs of a fraction of the time and the side from then on.
    """
    return [side for begin, side in sides if begin <= share][-1]


def compute_learning_rate(share: float, settings: LoopSettings) -> float:
    """Return the learning rate at a fraction of the time: linear warm-up, then half a cosine to zero.

    Args:
        share: fraction of the training time, 0 to 1.
        settings: training settings with peak rate and warm-up.
    """
    return settings.learning_rate * compute_timed_share(share, settings.warmup)


class CropStream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless batches of crops: images (b, m, ...), targets (b, c, ...) and availability (b, m).

    Args:
        cases: packed cases.
        weights: relative frequency of each case.
        crops: crop and augmentation settings.
        settings: training settings.
        seed: random seed.
    """

    def __init__(
        self,
        cases: Sequence[PackedCase],
        weights: Sequence[float],
        crops: CropSettings,
        settings: LoopSettings,
        seed: int,
    ) -> None:
        self.share = torch.zeros(1)
        """Elapsed fraction of the training time, shared with the process that draws crops, if any."""
        if settings.workers:
            self.share.share_memory_()  # type: ignore[no-untyped-call]
        self._cases, self._crops, self._settings, self._seed = cases, crops, settings, seed
        boost = settings.enhancement_boost
        self._boosts = np.array([boost if boost > 1 and case.has_little_enhancement else 1.0 for case in cases])
        frequencies = np.asarray(weights, np.float64) * self._boosts
        self._frequencies = frequencies / frequencies.sum()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        rng = np.random.default_rng((self._seed, 0 if worker is None else worker.id))
        while True:
            yield self._draw_batch(rng)

    def _draw_batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        crops = replace(self._crops, side=choose_side(float(self.share), self._settings.sides))
        drawn: list[Crop] = []
        views: list[Tensor] = []
        for _ in range(self._settings.batch):
            case, view = self._draw_view(rng)
            drawn.append(draw_crop(case, crops, rng))
            views.append(view)
        return (
            torch.stack([crop.image for crop in drawn]),
            torch.stack([crop.target for crop in drawn]),
            torch.stack(views),
        )

    def _draw_view(self, rng: np.random.Generator) -> tuple[PackedCase, Tensor]:
        """Draw a case and a subset of its sequences. Rejection keeps the boost from acting on views without T1ce."""
        while True:
            index = int(rng.choice(len(self._cases), p=self._frequencies))
            case = self._cases[index]
            view = draw_subset(torch.from_numpy(case.available), self._settings.views, rng)
            if bool(view[Modality.T1CE.channel]) or rng.random() < 1 / self._boosts[index]:
                return case, view


Step = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""Returns the loss of a network for images (b, m, ...), targets (b, c, ...) and availability (b, m)."""


def make_cross_sequence_step(*, inside_weight: float = 0.0, distillation: float = 0.0) -> Step:
    """Return a function that computes the deeply supervised loss of a cross-sequence expert.

    Args:
        inside_weight: weight of `bce_inside_tumour` of crops that show T1ce. Without T1ce, enhancement is hardly
            visible, and the term would only suppress it.
        distillation: weight of `subset_distillation`, in which the view with all sequences of a crop teaches the drawn
            view. The teacher is the network itself, without gradient, so a step costs one more forward pass.
    """

    def step(network: nn.Module, image: Tensor, target: Tensor, available: Tensor) -> Tensor:
        levels = network.forward_levels_available(image, available)  # type: ignore[operator]
        loss = level_loss(levels, target)
        if inside_weight > 0:
            inside = bce_inside_tumour(levels[0], target) * available[:, Modality.T1CE.channel]
            loss = loss + inside_weight * inside.mean()
        if distillation <= 0:
            return loss
        more = available | detect_available(image)
        if torch.equal(more, available):
            return loss
        with torch.no_grad():
            teacher = network(image, more)
        return loss + distillation * subset_distillation(levels[0], teacher, available, more)

    return step


def train(
    network: nn.Module,
    cases: Sequence[PackedCase],
    weights: Sequence[float],
    folder: Path,
    settings: LoopSettings,
    *,
    crops: CropSettings | None = None,
    step: Step | None = None,
    device: torch.device | str = "cpu",
) -> Path:
    """Train a network, or resume its training, and return the file of the averaged weights.

    Args:
        network: network to train in place.
        cases: packed cases.
        weights: relative frequency of each case.
        folder: folder for `state.pt` (the full state), `weights.pt` (the averaged weights) and `log.jsonl`.
        settings: training settings.
        crops: crop and augmentation settings.
        step: function that computes the loss of a batch. None is `make_cross_sequence_step()`.
        device: device to train on.
    """
    step = step or make_cross_sequence_step()
    device = torch.device(device)
    folder.mkdir(parents=True, exist_ok=True)
    tune_malloc(device)
    network = network.to(device, memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizers = make_optimizers(network, settings)
    average = {name: value.detach().float().clone() for name, value in network.state_dict().items()}
    done, elapsed = _resume(folder, network, optimizers, average, device)
    stream = CropStream(cases, weights, crops or CropSettings(), settings, settings.seed + done)
    budget, saved, start, losses = settings.minutes * 60, elapsed, time.perf_counter() - elapsed, []
    waited, skipped = 0.0, 0
    batches = iter(DataLoader(stream, batch_size=None, num_workers=settings.workers))
    try:
        while elapsed < budget:
            share = elapsed / budget
            stream.share.fill_(share)
            for group in itertools.chain.from_iterable(optimizer.param_groups for optimizer in optimizers):
                group["lr"] = compute_learning_rate(share, settings)
            before = time.perf_counter()
            image, target, available = next(batches)
            waited += time.perf_counter() - before
            image = image.to(device).contiguous(memory_format=torch.channels_last_3d)
            with torch.autocast(device.type, dtype=settings.precision, enabled=settings.precision is not None):
                loss = step(network, image, target.to(device), available.to(device))
            network.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            if bool(torch.isfinite(norm)):
                for optimizer in optimizers:
                    optimizer.step()
                skipped = 0
            else:
                skipped += 1
                _check_skipped(skipped)
            done += 1
            _update(average, network, min(settings.ema_decay, (1 + done) / (10 + done)))
            losses.append(float(loss.detach()))
            elapsed = time.perf_counter() - start
            if done % 50 == 0:
                entry = {
                    "step": done,
                    "minutes": round(elapsed / 60, 2),
                    "loss": round(float(np.mean(losses)), 4),
                    "side": image.shape[-1],
                    "waited": round(waited, 1),
                }
                with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(entry) + "\n")
                logger.info("%s", entry)
                losses, waited = [], 0.0
            if elapsed - saved > settings.save_minutes * 60:
                _save(folder, network, optimizers, average, done, elapsed)
                saved = elapsed
    finally:
        _save(folder, network, optimizers, average, done, elapsed)
    return folder / "weights.pt"


def make_optimizers(network: nn.Module, settings: LoopSettings) -> list[torch.optim.Optimizer]:
    """Return the optimisers of a network, which all follow one learning rate."""
    kernels = select_kernels(network) if settings.optimizer == "muon" else []
    held = {id(kernel) for kernel in kernels}
    rest = [weight for weight in network.parameters() if weight.requires_grad and id(weight) not in held]
    adamw = torch.optim.AdamW(rest, settings.learning_rate, weight_decay=settings.weight_decay)
    return [Muon(kernels, settings.learning_rate), adamw] if kernels else [adamw]


def _check_skipped(steps: int) -> None:
    if steps >= MAX_SKIPPED:
        raise TrainingError(
            f"The gradient was not finite in {steps} steps in a row. Lower the learning rate, or check the images for "
            "values that are not finite."
        )


def _update(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for name, value in network.state_dict().items():
            average[name].lerp_(value.float(), 1 - decay)


def _save(
    folder: Path,
    network: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    average: dict[str, Tensor],
    done: int,
    elapsed: float,
) -> None:
    state: dict[str, Any] = {
        "network": network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "average": average,
        "done": done,
        "elapsed": elapsed,
    }
    for name, content in (("state.pt", state), ("weights.pt", average)):
        atomic_save(content, folder / name)


def _resume(
    folder: Path,
    network: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    average: dict[str, Tensor],
    device: torch.device,
) -> tuple[int, float]:
    path = folder / "state.pt"
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, map_location=device, weights_only=True)
    network.load_state_dict(state["network"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    average.update(state["average"])
    return int(state["done"]), float(state["elapsed"])
