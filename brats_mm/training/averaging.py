"""Exponential moving average of the weights, which is validated and saved in their place."""

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor, nn

from brats_mm.training.warm_start import unwrap


class WeightAverage:
    """Handler that updates `average = d * average + (1 - d) * weights` after every training step.

    Early steps use a smaller `d`, `min(decay, (1 + n) / (10 + n))` after n steps, to forget the random start quickly.

    Args:
        network: network on its device. Its floating-point weights and buffers are averaged.
        decay: decay `d`, from 0 to below 1. 0 keeps no average, so the weights themselves are validated.
    """

    def __init__(self, network: nn.Module, *, decay: float | int = 0.0) -> None:
        self.network = unwrap(network)
        self.decay = decay
        self.steps = 0
        self.values = {name: value.clone() for name, value in self._list_weights().items()}

    def attach(self, engine: Any) -> None:
        """Update the average after every step."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, value in self._list_weights().items():
            self.values[name].lerp_(value, 1 - decay)

    def swap(self) -> None:
        """Exchange weights and average in place. A second call restores both exactly."""
        for name, value in self._list_weights().items():
            current = value.clone()
            value.copy_(self.values[name])
            self.values[name].copy_(current)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a resumed run."""
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of an earlier run. Without a saved average, start from the weights."""
        self.steps = int(state["steps"])
        self.values = {name: state["values"].get(name, value).clone() for name, value in self._list_weights().items()}

    def _list_weights(self) -> dict[str, Tensor]:
        if self.decay == 0:
            return {}
        with torch.no_grad():
            return {name: value for name, value in self.network.state_dict().items() if value.is_floating_point()}


class ValidateAverage:
    """Handler that gives the network its averaged weights during validation.

    Args:
        average: average of the validated network.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Any) -> None:
        """Swap weights before and after every validation."""
        engine.add_event_handler(Events.STARTED, self)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        self.average.swap()
