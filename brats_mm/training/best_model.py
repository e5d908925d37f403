"""The best model of a run, by validation, and when to stop because nothing better comes."""

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
    """Attached to a validator: keeps the weights with the best validation so far in a file.

    The weights are those that were validated, so with an average of weights (`WeightAverage`) they are the average.

    Args:
        network: whose weights are saved.
        path: the checkpoint, a plain state dict.
        metric: by which a validation is judged: one of `validation_scores.NAMES`, or the validator's key metric where
            it is None. Of the loss, lower is better.
        record: written beside the checkpoint.

    Raises:
        OptionError: there is no such metric.

    Attributes:
        score: the best validation so far, a loss with its sign changed; minus infinity before the first one.
        epoch: when that was.
        waited: validations since then.
    """

    def __init__(
        self, network: nn.Module, path: Path | str, *, metric: str | None = None, record: TrainingRecord | None = None
    ) -> None:
        if metric is not None and metric not in NAMES:
            message = f"The checkpoint metric is {metric!r}; it must be one of {', '.join(NAMES)}."
            raise OptionError(message)
        self.network = unwrap(network)
        self.path = Path(path)
        self.metric = metric
        self.record = record
        self.score = -math.inf
        self.epoch = 0
        self.waited = 0

    def attach(self, engine: Any) -> None:
        """Look at every validation's result."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        metric = self.metric or engine.state.key_metric_name
        found = float(engine.state.metrics[metric])
        score = -found if metric == LOSS else found
        if not score > self.score:  # also where the score is no number
            self.waited += 1
            return
        weights = self.network.state_dict()
        check_finite(weights, self.path)
        if engine.state.rank == 0:
            atomic_save(weights, self.path)
            if self.record is not None:
                self.record.write_beside(self.path)
        self.score, self.epoch, self.waited = score, int(engine.state.epoch), 0
        logger.info("Epoch %d has the best %s so far, %.4f.", self.epoch, metric, found)

    def state_dict(self) -> dict[str, float]:
        """What a resumed run must know."""
        return {"score": self.score, "epoch": self.epoch, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from an earlier run."""
        self.score, self.epoch, self.waited = float(state["score"]), int(state["epoch"]), int(state["waited"])


class EarlyStop:
    """Attached to a trainer, after its validation: ends the run when validations have long brought nothing better.

    Args:
        best: knows for how long.
        patience: so many validations in a row without a better one end the run; 0 never does.
    """

    def __init__(self, best: BestModel, *, patience: int = 0) -> None:
        self.best = best
        self.patience = patience

    def attach(self, engine: Any) -> None:
        """Look after every epoch."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if 0 < self.patience <= self.best.waited:
            logger.info("No better validation since epoch %d: the training stops early.", self.best.epoch)
            engine.terminate()
