"""The three ways in which MWAM's weights act on a training: on gradients, on updates, or on losses of the branches.

Each is attached to a trainer and asks for the weights of the running step; none of them touches the network.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor, nn

from brats_mm.networks.mixing import split_views

Weights = Callable[[], Mapping[str, float]]
"""K of each branch in the running step, by the branch's name."""

Branches = Mapping[str, nn.Module]
"""The part of the network that belongs to each modality."""


class Form(ABC):
    """How the weights act.

    Args:
        branches: what the weights act on; what lies outside of them (the gate) is left alone.
        weights: of the running step.
    """

    def __init__(self, branches: Branches, weights: Weights) -> None:
        self.branches = branches
        self.weights = weights

    @abstractmethod
    def attach(self, engine: Any) -> None:
        """Act in every step of a trainer."""


class GradientForm(Form):
    """Multiplies the gradients of branch m by K_m, after the backward pass (MWAM, released code).

    For plain SGD this is the update form. With Adam it does next to nothing while K is steady: Adam divides each
    gradient by the root of its own running square, and a factor in both cancels. Take the update form there. Gradients
    are clipped after this.
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
    """Multiplies what the optimiser's step changes in branch m by K_m (MWAM, algorithm 1): a learning rate a branch.

    The step is taken as it is, and each parameter then set to `before + K (after - before)`. So it holds for every
    optimiser. In Adam and AdamW the step is proportional to the learning rate, moments do not depend on it, and
    decoupled weight decay is part of the step: the result is that of a learning rate K times as high, without
    parameter groups, which schedules and checkpoints would have to know of. With K = 1 a parameter is what the
    optimiser made it, to the bit. A float16 step that was skipped stays skipped.
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
                parameter.copy_(torch.lerp(before, parameter, weights[name]))  # at 1, exactly the second


class LossForm(Form):
    """Adds `sum_m K_m L(y, y_m)` to the loss, y_m being what branch m answers by itself (MWAM, loss form).

    The experts of a mixture of logits answer by themselves, so they need no auxiliary heads: their outputs are picked
    up in the forward pass. Only samples that have modality m, and in which a view asked for it, count for L(y, y_m); a
    modality that no sample has adds nothing.

    Args:
        branches: the experts of a mixture that mixes logits.
        weights: of the running step.
        network: the mixture, called with inputs and availability.
        task_loss: from logits and targets (b, c, ...) to a number.
    """

    def __init__(self, branches: Branches, weights: Weights, *, network: nn.Module, task_loss: nn.Module) -> None:
        super().__init__(branches, weights)
        self.task_loss = task_loss
        self._answers: dict[str, Tensor] = {}
        self._needed = torch.zeros(0, 0, dtype=torch.bool)
        network.register_forward_pre_hook(self._note_needed)
        for name, branch in branches.items():
            branch.register_forward_hook(self._keeper(name))

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
        given, available = args
        samples = len(given if isinstance(given, Tensor) else given[0])
        self._needed = split_views(available, samples).any(dim=0)

    def _keeper(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(branch: nn.Module, args: Any, answer: Tensor) -> None:
            if branch.training:
                self._answers[name] = answer

        return keep
