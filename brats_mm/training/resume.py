"""Save the state of a run after every epoch, and resume from it."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Events
from torch import nn
from torch.amp import GradScaler
from torch.optim.lr_scheduler import LambdaLR

from brats_mm.errors import TrainingError, extract_first_line
from brats_mm.training.averaging import WeightAverage
from brats_mm.training.best_model import BestModel
from brats_mm.training.checkpoints import atomic_save, check_finite
from brats_mm.training.seeding import EpochSeed
from brats_mm.training.warm_start import unwrap

logger = logging.getLogger(__name__)


class LastState:
    """Handler that saves the full training state after every epoch. Attach it to a trainer as its last handler.

    The state is written next to the best model as `<name>_last.pt` and holds only tensors and plain containers. A
    resumed run has the same curve as an uninterrupted one, because random numbers depend only on seed and epoch
    (`EpochSeed`).

    Args:
        network: network to train.
        optimizer: its optimizer.
        lr_scheduler: its learning-rate schedule.
        average: average of the weights.
        best: best score of the run.
        seed: seed of each epoch.
        scaler: scaler of float16 gradients. A disabled scaler has no state.
        resume: whether to resume from the checkpoint if it exists.
        further: additional objects with a state, by name.

    Raises:
        TrainingError: the checkpoint cannot be read, or belongs to another network or other settings. Raised when the
            trainer starts.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        optimizer: Any,
        lr_scheduler: Any,
        average: WeightAverage,
        best: BestModel,
        seed: EpochSeed,
        scaler: GradScaler,
        resume: bool = False,
        further: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = best.path.with_name(best.path.stem + "_last.pt")
        self.resume = resume
        self.record = best.record
        self.learning_rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        self.parts: dict[str, Any] = {
            "network": unwrap(network),
            "optimizer": optimizer,
            "lr_scheduler": lr_scheduler,
            "average": average,
            "best": best,
            "seed": seed,
            "scaler": scaler,
            **(further or {}),
        }

    def attach(self, engine: Any) -> None:
        """Restore the state when the trainer starts, and save it after every epoch."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Any) -> None:
        """Save the state of a completed epoch."""
        content = {name: stateful.state_dict() for name, stateful in self.parts.items()}
        check_finite(content["network"], self.path)
        if engine.state.rank == 0:
            atomic_save({"epoch": int(engine.state.epoch), **content}, self.path)
            if self.record is not None:
                self.record.write_beside(self.path)

    def restore(self, engine: Any) -> None:
        """Restore the state of an earlier run."""
        if not self.resume:
            return
        if not self.path.is_file():
            logger.warning("No checkpoint %s to resume from. Training starts from scratch.", self.path)
            return
        if self.record is not None:
            self.record.check_same_settings(self.path)
        try:
            content = torch.load(self.path, map_location=engine.state.device, weights_only=True)
            for name, stateful in self.parts.items():
                if name != "scaler" or content.get(name):  # empty if the earlier run used another precision
                    stateful.load_state_dict(content[name])
            epoch = int(content["epoch"])
        except Exception as error:  # torch raises many types for a damaged file
            reason = extract_first_line(error)
            raise TrainingError(
                f"The checkpoint {self.path} does not fit this training run ({reason}). Resume with the settings of "
                "the run that wrote it, or start from scratch with --resume false."
            ) from error
        self._apply_learning_rate()
        engine.state.epoch = epoch
        engine.state.iteration = epoch * engine.state.epoch_length
        logger.info("Resumed after epoch %d from %s.", epoch, self.path)

    def _apply_learning_rate(self) -> None:
        """Set the learning rate of the next epoch from this run's settings.

        The saved rate follows the earlier schedule, which ends at 0.
        """
        schedule, optimizer = self.parts["lr_scheduler"], self.parts["optimizer"]
        if not isinstance(schedule, LambdaLR):
            return
        former = [float(rate) for rate in schedule.base_lrs]
        if former != self.learning_rates:
            logger.info("The learning rate changes from %g to %g.", former[0], self.learning_rates[0])
        schedule.base_lrs = list(self.learning_rates)
        for group, full, share in zip(optimizer.param_groups, self.learning_rates, schedule.lr_lambdas, strict=True):
            group["initial_lr"] = full
            group["lr"] = full * share(schedule.last_epoch)
        schedule._last_lr = [group["lr"] for group in optimizer.param_groups]
