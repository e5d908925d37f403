"""Save the best model of a run by its validation score, and stop early without improvement."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events
from torch import nn

from brats_mm.errors import OptionError
from brats_mm.training.checkpoints import atomic_save, check_finite
from brats_mm.training.record import TrainingRecord
from brats_mm.training.validation_scores import LOSS, NAMES
from brats_mm.training.warm_start import unwrap

logger = logging.getLogger(__name__)


class BestModel:
    """Handler that saves the weights with the best validation score so far.

    With a `WeightAverage`, these are the averaged weights, because those are validated.

    Args:
        network: network to save.
        path: path of the checkpoint, a plain state dict.
        metric: metric to select by, one of `validation_scores.NAMES`. None uses the validator's key metric. A lower
            loss is better.
        record: record to write next to the checkpoint.

    Raises:
        OptionError: the metric is unknown.

    Attributes:
        score: best score so far, a negated loss for the loss. Minus infinity before the first validation.
        epoch: epoch of the best score.
        waited: number of validations since the best score.
    """

    def __init__(
        self, network: nn.Module, path: Path | str, *, metric: str | None = None, record: TrainingRecord | None = None
    ) -> None:
        if metric is not None and metric not in NAMES:
            raise OptionError(f"Unknown checkpoint metric {metric!r}. Choose one of {', '.join(NAMES)}.")
        self.network = unwrap(network)
        self.path = Path(path)
        self.metric = metric
        self.record = record
        self.score = -math.inf
        self.epoch = 0
        self.waited = 0

    def attach(self, engine: Any) -> None:
        """Check the score after every validation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        metric = self.metric or engine.state.key_metric_name
        value = float(engine.state.metrics[metric])
        score = -value if metric == LOSS else value
        if not score > self.score:  # also true for NaN
            self.waited += 1
            return
        weights = self.network.state_dict()
        check_finite(weights, self.path)
        if engine.state.rank == 0:
            atomic_save(weights, self.path)
            if self.record is not None:
                self.record.write_beside(self.path)
        self.score, self.epoch, self.waited = score, int(engine.state.epoch), 0
        logger.info("Epoch %d has the best %s so far, %.4f.", self.epoch, metric, value)

    def state_dict(self) -> dict[str, float]:
        """Return the state for a resumed run."""
        return {"score": self.score, "epoch": self.epoch, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore the state of an earlier run."""
        self.score, self.epoch, self.waited = float(state["score"]), int(state["epoch"]), int(state["waited"])


class EarlyStop:
    """Handler that ends a run after a number of validations without improvement. Attach it after the validation.

    Args:
        best: handler that tracks the best score.
        patience: number of consecutive validations without improvement after which the run ends. 0 disables early
            stopping.
    """

    def __init__(self, best: BestModel, *, patience: int = 0) -> None:
        self.best = best
        self.patience = patience

    def attach(self, engine: Any) -> None:
        """Check after every epoch."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if 0 < self.patience <= self.best.waited:
            logger.info("No improvement in validation since epoch %d. Stopping early.", self.best.epoch)
            engine.terminate()
