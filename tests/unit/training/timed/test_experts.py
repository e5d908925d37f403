"""Joint fine-tuning of the modality experts: mixing, nested views, and the loss of one crop."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from brats_mm.training.timed.experts import ExpertEnsemble, draw_nested_views, run_expert_step


class Constant(nn.Module):
    """An expert that returns one logit everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value.expand(x.shape[0], 3, *x.shape[2:])


def ensemble() -> ExpertEnsemble:
    experts = {name: Constant(value) for name, value in zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True)}
    return ExpertEnsemble(experts, torch.zeros(4, 3))


def test_equal_gate_values_give_the_mean_of_the_available_experts():
    network, image = ensemble(), torch.ones(1, 4, 2, 2, 2)
    available = torch.tensor([[True, False, False, True]])
    logits = network.compute_expert_logits(image, available)
    assert [one is None for one in logits] == [False, True, True, False]
    assert network.mix(logits, available).unique().tolist() == [2.5]


def test_gate_value_of_log_three_triples_weight():
    network, image = ensemble(), torch.ones(1, 4, 2, 2, 2)
    with torch.no_grad():
        network.gate[0] = float(np.log(3))
    available = torch.tensor([[True, True, False, False]])
    mixed = network.mix(network.compute_expert_logits(image, available), available)
    assert mixed.flatten()[0].item() == pytest.approx(0.75 * 1 + 0.25 * 2)


@pytest.mark.parametrize("seed", range(10))
def test_views_are_nested_and_start_with_all_available_sequences(seed):
    available = torch.tensor([True, True, False, True])
    views = draw_nested_views(available, np.random.default_rng(seed))
    assert torch.equal(views[0], available)
    assert 2 <= len(views) <= 3
    sizes = [int(view.sum()) for view in views]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    for larger, smaller in itertools.pairwise(views):
        assert not bool((smaller & ~larger).any())


def test_single_sequence_has_one_view():
    available = torch.tensor([False, True, False, False])
    assert len(draw_nested_views(available, np.random.default_rng(0))) == 1


def test_step_gives_gradients_only_to_available_experts():
    network, image = ensemble(), torch.ones(1, 4, 4, 4, 4)
    loss = run_expert_step(network, image, torch.ones(1, 3, 4, 4, 4), torch.tensor([[True, True, True, False]]))
    loss.backward()
    assert float(loss.detach()) > 0
    gradients = [expert.value.grad for expert in network.experts.values()]
    assert [gradient is not None for gradient in gradients] == [True, True, True, False]
    assert network.gate.grad is not None
