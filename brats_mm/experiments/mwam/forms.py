"""MWAM's three forms: weights applied to gradients, to optimiser updates, or to losses of the branches.

Each form is a trainer handler that reads the current weights. None modifies the network.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor, nn

from brats_mm.errors import OptionError
from brats_mm.networks.mixing import split_views

Weights = Callable[[], Mapping[str, float]]
"""Function that returns the current weight K of each branch by name."""

Branches = Mapping[str, nn.Module]
"""The part of the network for each modality."""


class Form(ABC):
    """Base class of the forms.

    Args:
        branches: weighted parts of the network. Other parts, such as the gate, are unaffected.
        weights: function that returns the current weights.
    """

    def __init__(self, branches: Branches, weights: Weights) -> None:
        self.branches = branches
        self.weights = weights

    @abstractmethod
    def attach(self, engine: Any) -> None:
        """Attach to a trainer."""


class GradientForm(Form):
    """Multiplies the gradients of branch m by K_m, after the backward pass (MWAM, released code).

    With plain SGD this equals the update form. With Adam it has almost no effect while K is steady, because Adam
    normalises gradients by their running magnitude. Use the update form with Adam. Gradient clipping happens after
    this.
    """

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        weights = self.weights()
        for name, branch in self.branches.items():
            for parameter in branch.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(weights[name])


class UpdateForm(Form):
    """Multiplies the optimiser's update of branch m by K_m (MWAM, algorithm 1), like a learning rate per branch.

    After the step, each parameter is set to `before + K (after - before)`, which works for every optimiser. In Adam and
    AdamW this equals a learning rate of K times the value, without parameter groups that schedules and checkpoints
    would have to handle. With K = 1 the update is unchanged bit for bit. A skipped float16 step stays skipped.
    """

    def __init__(self, branches: Branches, weights: Weights) -> None:
        super().__init__(branches, weights)
        self._before: dict[str, list[Tensor]] = {}

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._remember)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def _remember(self, engine: Any) -> None:
        self._before = {
            name: [parameter.detach().clone() for parameter in branch.parameters()]
            for name, branch in self.branches.items()
        }

    @torch.no_grad()
    def __call__(self, engine: Any) -> None:
        weights = self.weights()
        for name, branch in self.branches.items():
            for before, parameter in zip(self._before.pop(name), branch.parameters(), strict=True):
                parameter.copy_(torch.lerp(before, parameter, weights[name]))  # a weight of 1 is exact


class LossForm(Form):
    """Adds `sum_m K_m L(y, y_m)` to the loss, where y_m is the output of branch m (MWAM, loss form).

    Experts of a mixture of logits need no auxiliary heads. Their outputs are recorded in the forward pass. L(y, y_m)
    covers only samples with modality m in at least one view. Probabilities and features are rejected.

    Args:
        branches: the experts of a mixture of logits.
        weights: function that returns the current weights.
        network: the mixture, called with inputs and availability.
        task_loss: loss from logits and targets (b, c, ...) to a scalar.

    Raises:
        OptionError: the network does not mix logits.
    """

    def __init__(self, branches: Branches, weights: Weights, *, network: nn.Module, task_loss: nn.Module) -> None:
        super().__init__(branches, weights)
        if not isinstance(getattr(network, "output_layer", None), nn.Identity):
            raise OptionError(
                f"MWAM's loss form needs branches that return logits, but this {type(network).__name__} mixes "
                "probabilities or features. Set mwam_form to update, or use a network that mixes logits."
            )
        self.task_loss = task_loss
        self._answers: dict[str, Tensor] = {}
        self._needed = torch.zeros(0, 0, dtype=torch.bool)
        network.register_forward_pre_hook(self._note_needed)
        for name, branch in branches.items():
            branch.register_forward_hook(self._make_keeper(name))

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self._forget)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        output, weights = engine.state.output, self.weights()
        targets = output[CommonKeys.LABEL][: len(self._needed)]  # the samples themselves, which are the first view
        for modality, name in enumerate(self.branches):
            if name in self._answers:
                target = targets[self._needed[:, modality]]
                output[CommonKeys.LOSS] = output[CommonKeys.LOSS] + weights[name] * self.task_loss(
                    self._answers[name], target
                )
        self._answers.clear()

    def _forget(self, engine: Any) -> None:
        self._answers.clear()

    def _note_needed(self, network: nn.Module, args: tuple[Any, ...]) -> None:
        inputs, available = args
        samples = len(inputs if isinstance(inputs, Tensor) else inputs[0])
        self._needed = split_views(available, samples).any(dim=0)

    def _make_keeper(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(branch: nn.Module, args: Any, output: Tensor) -> None:
            if branch.training:
                self._answers[name] = output

        return keep
