"""An exponential moving average of the weights, validated and saved in the weights' place."""

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor, nn

from brats_mm.training.warm_start import unwrap


class WeightAverage:
    """Attached to a trainer: after every step, `average = d * average + (1 - d) * weights`.

    In the beginning d is smaller, `min(decay, (1 + n) / (10 + n))` after n steps, so that the random start is soon
    forgotten.

    Args:
        network: whose floating-point weights and buffers are averaged; already on its device.
        decay: 0 to below 1; 0 is off: no average is kept, and the weights themselves are validated.
    """

    def __init__(self, network: nn.Module, *, decay: float | int = 0.0) -> None:
        self.network = unwrap(network)
        self.decay = decay
        self.steps = 0
        self.values = {name: value.clone() for name, value in self._weights().items()}

    def attach(self, engine: Any) -> None:
        """Follow every step."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, value in self._weights().items():
            self.values[name].lerp_(value, 1 - decay)

    def swap(self) -> None:
        """Exchange weights and average, in place; a second call undoes the first, to the bit."""
        for name, value in self._weights().items():
            held = value.clone()
            value.copy_(self.values[name])
            self.values[name].copy_(held)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier run; an average that it did not keep starts from the weights."""
        self.steps = int(state["steps"])
        self.values = {name: state["values"].get(name, value).clone() for name, value in self._weights().items()}

    def _weights(self) -> dict[str, Tensor]:
        if self.decay == 0:
            return {}
        with torch.no_grad():
            return {name: value for name, value in self.network.state_dict().items() if value.is_floating_point()}


class ValidateAverage:
    """Attached to a validator: while it runs, the network has the averaged weights.

    Args:
        average: of the network that is validated.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Any) -> None:
        """Swap before and after every validation."""
        engine.add_event_handler(Events.STARTED, self)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        self.average.swap()
