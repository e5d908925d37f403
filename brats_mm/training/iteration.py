"""Batch preparation and the optimisation step of the bundle's trainers and evaluators.

Tensors are channels-last, which about halves the time of 3D convolutions on a CPU.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.engines.utils import IterationEvents, PrepareBatch
from monai.utils import CommonKeys
from torch import Tensor, nn

from brats_mm.errors import TrainingError
from brats_mm.training.precision import Precision

logger = logging.getLogger(__name__)

Prepared = tuple[Tensor | list[Tensor], Tensor, tuple[Tensor, ...], dict[str, Any]]
"""Network input, target, positional and keyword arguments of the network, as MONAI's engines expect them."""

Put = Callable[[Tensor], Tensor]
"""Moves a tensor to the device of training."""

FLOAT32 = Precision()

SKIPPED_IN_A_ROW = 20
"""Maximum number of consecutive float16 steps that may overflow. Each halves the scale. Together, they divide it by a
million.
"""


def count_images(batch: Mapping[str, Any]) -> int:
    """Return the number of windows in a batch. With independent crops, each view of a pair has its own window."""
    return len(batch["image"]) + len(batch.get("image_fewer", ()))


def stack_view_flags(views: Sequence[Tensor]) -> Tensor:
    """Return the availability (v b, m) of stacked views, from flags (b, v, m) of one or several groups of views."""
    return torch.cat(list(views), dim=1).transpose(0, 1).flatten(0, 1)


class Batch(PrepareBatch):
    """Base class that moves a batch to the device. Subclasses choose and arrange its tensors."""

    def __call__(
        self,
        batchdata: Mapping[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,  # noqa: FBT001, FBT002 (MONAI's signature)
        **kwargs: Any,
    ) -> Prepared:
        def put(values: Tensor) -> Tensor:
            # A MetaTensor would propagate its transform history through every layer.
            plain = values.as_tensor() if hasattr(values, "as_tensor") else values
            if plain.ndim < 5:
                return plain.to(device, non_blocking=non_blocking)
            volumes = plain.to(device=device, dtype=torch.float32, non_blocking=non_blocking)
            return volumes.contiguous(memory_format=torch.channels_last_3d)

        return self.arrange(batchdata, put)

    def arrange(self, batch: Mapping[str, Tensor], put: Put) -> Prepared:
        """Return network input, target and further arguments.

        Args:
            batch: tensors by key.
            put: moves a tensor to the device. Volumes (b, c, h, w, d) become float32, channels-last.
        """
        raise NotImplementedError


class ExpertBatch(Batch):
    """Batch of stage 1: one channel, which is always available."""

    def arrange(self, batch: Mapping[str, Tensor], put: Put) -> Prepared:
        """See `Batch.arrange`."""
        return put(batch["image"]), put(batch["label"]), (), {}


class MixtureBatch(Batch):
    """Batch of a mixture: all channels, and the availability (b, v, m) of v views of each sample."""

    def arrange(self, batch: Mapping[str, Tensor], put: Put) -> Prepared:
        """See `Batch.arrange`."""
        image, label, views = put(batch["image"]), put(batch["label"]), stack_view_flags([batch["available"]])
        return image, label.repeat(len(views) // len(image), 1, 1, 1, 1), (put(views),), {}


class PairBatch(MixtureBatch):
    """Batch of stage 2: views with more sequences, then views with fewer (SimMLM, section 3.2).

    All views share one crop, so the network takes it once with the availability of every view and runs each expert
    once. The losses of `losses.mofe` split the output into its two halves. With several pairs per sample, each half
    holds all samples of the first pair, then of the second, and so on.

    If the views were cropped independently (`data.pair_crops`), their windows make a plain batch of 2b samples.
    """

    def arrange(self, batch: Mapping[str, Tensor], put: Put) -> Prepared:
        """See `Batch.arrange`."""
        more_and_fewer = [batch["more"], batch["fewer"]]
        if "image_fewer" not in batch:
            return super().arrange({**batch, "available": torch.cat(more_and_fewer, dim=1)}, put)  # (b 2p m)
        both = {key: torch.cat([batch[key], batch[f"{key}_fewer"]]) for key in ("image", "label")}
        return super().arrange({**both, "available": torch.cat(more_and_fewer)}, put)  # (2b 1 m)


class TrainingStep:
    """Optimisation step for the `iteration_update` of a `SupervisedTrainer`, used in both stages.

    Unlike MONAI's step, it supports mixed precision on the CPU (bfloat16), clips gradients, and rejects updates that
    would corrupt the weights. It raises TrainingError and names the cases if the loss or the gradients are not finite.
    In float16, occasional overflows are normal: the step is skipped and the scale is halved. More than
    `SKIPPED_IN_A_ROW` consecutive overflows are an error.

    Args:
        precision: precision of the forward pass (`precision.mixed_precision`).
        clip_norm: largest total norm of the unscaled gradients. 0 disables clipping.
    """

    def __init__(self, *, precision: Precision = FLOAT32, clip_norm: float | int = 5.0) -> None:
        self.precision = precision
        self.clip_norm = clip_norm
        self.skipped = 0

    def __call__(self, engine: Any, batchdata: Mapping[str, Any]) -> list[dict[str, Any]]:
        inputs, targets, args, kwargs = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking)
        output: dict[str, Any] = {CommonKeys.IMAGE: inputs, CommonKeys.LABEL: targets}
        engine.state.output = output
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=True)
        dtype, scaler = self.precision.dtype, self.precision.scaler
        with torch.autocast(torch.device(engine.state.device).type, dtype=dtype, enabled=dtype is not None):
            output[CommonKeys.PRED] = engine.inferer(inputs, engine.network, *args, **kwargs)
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        output[CommonKeys.LOSS] = engine.loss_function(output[CommonKeys.PRED], targets)
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        _check_finite(output[CommonKeys.LOSS], "loss", engine, batchdata)
        scaler.scale(output[CommonKeys.LOSS]).backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        scaler.unscale_(engine.optimizer)  # clipping needs unscaled gradients
        norm = nn.utils.clip_grad_norm_(engine.network.parameters(), self.clip_norm or float("inf"))
        self._note_overflow(norm, engine, batchdata)
        scaler.step(engine.optimizer)  # skips the update if gradients overflowed
        scaler.update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return _split_samples(output)

    def _note_overflow(self, norm: Tensor, engine: Any, batchdata: Mapping[str, Any]) -> None:
        if bool(torch.isfinite(norm)):
            self.skipped = 0
            return
        self.skipped += 1
        if not self.precision.scaler.is_enabled() or self.skipped > SKIPPED_IN_A_ROW:
            _check_finite(norm, "norm of the gradients", engine, batchdata, self._suggest_remedy())
        step = engine.state.iteration
        logger.info("Skipped step %d: gradients overflowed in float16. Halved their scale.", step)

    def _suggest_remedy(self) -> str:
        """Return what helps against gradients that are not finite. Clipping does not."""
        if self.precision.dtype is torch.bfloat16:
            return "choose a larger --window or --precision float32"
        return _REMEDY


_REMEDY = "lower --learning_rate or choose another --precision"


def _split_samples(output: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one dictionary per sample, as MONAI's decollation does, for handlers and metrics."""
    pred = output[CommonKeys.PRED]
    finest = pred if isinstance(pred, Tensor) else pred[0]  # deep supervision returns a list of levels
    inputs, labels, loss = output[CommonKeys.IMAGE], output[CommonKeys.LABEL], output[CommonKeys.LOSS].detach()
    images = inputs if isinstance(inputs, Tensor) else inputs[0]  # the first of several modalities of different shapes
    return [
        {
            CommonKeys.IMAGE: images[view % len(images)],  # the views of a sample share its image
            CommonKeys.LABEL: labels[view],
            CommonKeys.PRED: finest[view].detach(),
            CommonKeys.LOSS: loss,
        }
        for view in range(len(finest))
    ]


def _check_finite(value: Tensor, name: str, engine: Any, batchdata: Mapping[str, Any], remedy: str = _REMEDY) -> None:
    if bool(torch.isfinite(value)):
        return
    names = ", ".join(batchdata.get("name", ())) or "unnamed cases"
    raise TrainingError(
        f"The {name} is {value.item()} in epoch {engine.state.epoch}, step {engine.state.iteration}, on {names}. "
        f"Weights and checkpoints are unchanged. Check these cases. If they are valid, {remedy}. Then "
        "start again, with --resume true if an epoch was finished."
    )
