"""Validation scores for the selection of checkpoints: Dice by region and by group of subsets, and the task loss."""

from typing import Any

import torch
from ignite.engine import Events
from jaxtyping import Bool, Float
from monai.engines.utils import IterationEvents
from monai.metrics import Cumulative
from torch import Tensor

from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS
from brats_mm.losses.segmentation import TaskLoss

MEAN_DICE, LOSS = "val_mean_dice", "val_loss"

NAMES = (
    MEAN_DICE,
    LOSS,
    *(f"val_dice_{region.value}" for region in REGIONS),
    *(f"val_dice_{group}" for group in ("full", "single", "with_t1ce", "without_t1ce")),
)
"""Metrics of a validation. The groups are those of `brats-mm evaluate`."""


class ValidationScores:
    """Handler that adds the metrics in `NAMES` to a validator. Attach it before handlers that read its metrics.

    The Dice of an empty region is 1 if nothing is predicted and 0 otherwise. The loss is SimMLM's task loss on the
    logits of each view. In distributed training, the cases of all processes are pooled.
    """

    def __init__(self) -> None:
        self.loss = TaskLoss()
        self.scores = Cumulative()
        self.logits: Tensor | None = None

    def attach(self, engine: Any) -> None:
        """Attach to a validator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._keep_logits)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Any) -> None:
        self.scores.reset()

    def _keep_logits(self, engine: Any) -> None:
        """Keep the logits before post-processing turns them into masks."""
        logits, target = (torch.as_tensor(engine.state.output[key]).float() for key in ("pred", "label"))
        losses = torch.stack([self.loss(one[None], truth[None]) for one, truth in zip(logits, target, strict=True)])
        self.scores.extend(
            compute_dice(logits >= 0, target > 0.5), self._read_views(engine, len(logits)), losses[:, None]
        )

    def _read_views(self, engine: Any, count: int) -> Bool[Tensor, "v m"]:
        available = engine.state.batch.get("available")
        if available is None or available.ndim != 3:  # a single expert has no subsets
            return torch.zeros(count, len(Modality), dtype=torch.bool, device=engine.state.device)
        views: Tensor = available.transpose(0, 1).flatten(0, 1).to(engine.state.device)
        return views

    def _finish(self, engine: Any) -> None:
        dice, views, losses = self.scores.get_buffer()
        engine.state.metrics.update(summarise_scores(dice, views.bool(), losses))


def compute_dice(pred: Bool[Tensor, "v c h w d"], target: Bool[Tensor, "v c h w d"]) -> Float[Tensor, "v c"]:
    """Compute the Dice of each view and region.

    Args:
        pred: (v, c, h, w, d) predicted masks, 0 or 1.
        target: (v, c, h, w, d) reference masks, 0 or 1.
    """
    both = (pred & target).flatten(2).sum(2).double()
    size = pred.flatten(2).sum(2).double() + target.flatten(2).sum(2).double()
    return torch.where(size > 0, 2 * both / size.clamp(min=1), torch.ones_like(size)).float()


def summarise_scores(
    dice: Float[Tensor, "v c"], views: Bool[Tensor, "v m"], losses: Float[Tensor, "v 1"]
) -> dict[str, float]:
    """Compute the metrics over all views of a validation. Groups without views are omitted.

    Args:
        dice: (v, c) Dice of each view and region.
        views: subset of sequences of each view.
        losses: task loss of each view.
    """
    sizes, has_t1ce = views.sum(1), views[:, Modality.T1CE.channel]
    groups = {
        "full": sizes == len(Modality),
        "single": sizes == 1,
        "with_t1ce": has_t1ce,
        "without_t1ce": ~has_t1ce & (sizes > 0),
    }
    scores = {LOSS: float(losses.mean())}
    scores |= {f"val_dice_{region.value}": float(dice[:, region.channel].mean()) for region in REGIONS}
    return scores | {f"val_dice_{name}": float(dice[rows].mean()) for name, rows in groups.items() if bool(rows.any())}
