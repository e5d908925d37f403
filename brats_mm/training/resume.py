"""The state of a run, written after every epoch, from which a later run continues."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Events
from torch import nn
from torch.amp import GradScaler

from brats_mm.errors import TrainingError, first_line
from brats_mm.training.averaging import WeightAverage
from brats_mm.training.best_model import BestModel
from brats_mm.training.checkpoints import refuse_nonfinite_weights, save_whole
from brats_mm.training.seeding import EpochSeed
from brats_mm.training.warm_start import bare

logger = logging.getLogger(__name__)


class LastState:
    """Attached to a trainer, as its last handler: after every epoch, writes all that a later run needs to go on.

    It stands beside the best model, as `<name>_last.pt`, and holds tensors and plain containers only. A run that
    continues has the same curve as one that was never interrupted: random numbers follow from seed and epoch
    (`EpochSeed`).

    Args:
        network: with `optimizer` and `lr_scheduler`, what is trained.
        optimizer: see `network`.
        lr_scheduler: see `network`.
        average: of the weights.
        best: of the run so far.
        seed: of each epoch.
        scaler: of float16 gradients; one that is switched off has no state.
        resume: go on from the checkpoint, if there is one.
        further: whatever else of this training has a state, by name.

    Raises:
        TrainingError: (when the trainer starts) the checkpoint cannot be read, or is of another network.
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
        self.parts: dict[str, Any] = {
            "network": bare(network),
            "optimizer": optimizer,
            "lr_scheduler": lr_scheduler,
            "average": average,
            "best": best,
            "seed": seed,
            "scaler": scaler,
            **(further or {}),
        }

    def attach(self, engine: Any) -> None:
        """Restore when the trainer starts, save after every epoch."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Any) -> None:
        """Write the state of an epoch that is done."""
        content = {name: part.state_dict() for name, part in self.parts.items()}
        refuse_nonfinite_weights(content["network"], self.path)
        if engine.state.rank == 0:
            save_whole({"epoch": int(engine.state.epoch), **content}, self.path)

    def restore(self, engine: Any) -> None:
        """Go on where an earlier run stopped."""
        if not self.resume:
            return
        if not self.path.is_file():
            logger.warning(
                "There is no checkpoint %s to resume from; the training starts from the beginning.", self.path
            )
            return
        try:
            content = torch.load(self.path, map_location=engine.state.device, weights_only=True)
            for name, part in self.parts.items():
                if name != "scaler" or content.get(name):  # none where the run was at another precision
                    part.load_state_dict(content[name])
            epoch = int(content["epoch"])
        except Exception as error:  # torch raises a dozen types for a damaged file
            reason = first_line(error)
            message = (
                f"The checkpoint {self.path} does not fit this training ({reason}). Resume with the settings of the "
                "run that wrote it, or start anew with --resume false."
            )
            raise TrainingError(message) from error
        engine.state.epoch = epoch
        engine.state.iteration = epoch * engine.state.epoch_length
        logger.info("Resumed after epoch %d from %s.", epoch, self.path)
