"""Both forms of MoFe against hand-checked values, with a gradient only on violation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brats_mm.losses.mofe import (
    PaperMoFeLoss,
    ReleasedMoFeLoss,
    hinge,
    paper_loss,
    paper_ranking,
    released_loss,
    released_ranking,
)
from brats_mm.losses.segmentation import TaskTerms, compute_task_terms


def _terms(dice: list[list[float]], bce: list[list[float]]) -> TaskTerms:
    return TaskTerms(torch.tensor(dice), torch.tensor(bce))


# One sample, two regions. Larger subset: Dice 0.5 and 0.2, cross-entropy 0.3 and 0.4. Smaller: 0.4, 0.6, 0.5 and 0.1.
MORE = _terms([[0.5, 0.2]], [[0.3, 0.4]])
FEWER = _terms([[0.4, 0.6]], [[0.5, 0.1]])


def test_paper_form_ranks_whole_task_losses() -> None:
    """L+ = (0.8 + 0.6) / 2 = 0.7 and L- = (0.9 + 0.7) / 2 = 0.8. In order, the term is 0. Swapped, it is 0.1."""
    assert paper_ranking(MORE, FEWER).item() == pytest.approx(0.0)
    assert paper_ranking(FEWER, MORE).item() == pytest.approx(0.1)


def test_paper_form_adds_both_task_losses_and_a_tenth_of_ranking() -> None:
    assert paper_loss(MORE, FEWER).item() == pytest.approx(1.5)
    assert paper_loss(FEWER, MORE).item() == pytest.approx(1.5 + 0.1 * 0.1)


def test_paper_form_ranks_each_sample_separately() -> None:
    """The first sample violates the order by 1, the second keeps it by 2. The mean of the hinges is 0.5, not 0."""
    more = _terms([[1.0], [0.0]], [[0.0], [0.0]])
    fewer = _terms([[0.0], [2.0]], [[0.0], [0.0]])

    assert paper_ranking(more, fewer).item() == pytest.approx(0.5)


def test_released_form_ranks_dice_and_cross_entropy_separately() -> None:
    """Dice is violated by 0.1 in the first region, cross-entropy by 0.3 in the second: means 0.05 and 0.15."""
    assert released_ranking(MORE, FEWER).item() == pytest.approx(0.2)


def test_released_form_averages_task_losses() -> None:
    """(0.7 + 0.8) / 2 + 0.1 * 0.2. Relative to the task loss, its lambda counts double."""
    assert released_loss(MORE, FEWER).item() == pytest.approx(0.77)


def test_no_gradient_when_order_holds() -> None:
    more, fewer = torch.tensor([0.2], requires_grad=True), torch.tensor([0.5], requires_grad=True)
    hinge(more, fewer).sum().backward()

    assert more.grad is not None
    assert more.grad.item() == 0
    assert fewer.grad is not None
    assert fewer.grad.item() == 0


def test_violation_lowers_larger_and_raises_smaller_subset_loss() -> None:
    more, fewer = torch.tensor([0.5], requires_grad=True), torch.tensor([0.2], requires_grad=True)
    hinge(more, fewer).sum().backward()

    assert more.grad is not None
    assert more.grad.item() == 1
    assert fewer.grad is not None
    assert fewer.grad.item() == -1


@pytest.mark.parametrize(("module", "form"), [(PaperMoFeLoss, paper_loss), (ReleasedMoFeLoss, released_loss)])
def test_modules_take_stacked_views_with_larger_subsets_first(module: type[torch.nn.Module], form: object) -> None:
    generator = torch.Generator().manual_seed(3)
    more, fewer = torch.randn(2, 2, 3, 4, 4, 4, generator=generator)
    target = (torch.rand(2, 3, 4, 4, 4, generator=generator) > 0.5).float()

    expected = form(compute_task_terms(more, target), compute_task_terms(fewer, target), 0.3)  # type: ignore[operator]
    given_by_module = module(0.3)(torch.cat([more, fewer]), torch.cat([target, target]))

    assert given_by_module.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("module", [PaperMoFeLoss, ReleasedMoFeLoss])
def test_equal_views_have_no_ranking_loss(module: type[torch.nn.Module]) -> None:
    generator = torch.Generator().manual_seed(4)
    view = torch.randn(1, 3, 4, 4, 4, generator=generator)
    target = torch.ones(2, 3, 4, 4, 4)

    assert module(0.0)(torch.cat([view, view]), target) == module(9.0)(torch.cat([view, view]), target)


@given(st.floats(0, 5), st.floats(0, 5))
def test_hinge_is_never_negative_and_zero_in_order(more: float, fewer: float) -> None:
    value = hinge(torch.tensor([more]), torch.tensor([fewer])).item()

    assert value >= 0
    assert (value == 0) == (torch.tensor(more) <= torch.tensor(fewer)).item()
