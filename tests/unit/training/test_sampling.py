"""Cases of an epoch: all once, or those of a given number of steps."""

from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from brats_mm.training.sampling import make_distributed_epoch_sampler, make_epoch_sampler

CASES = TensorDataset(torch.arange(5))


def test_every_case_is_drawn_once_without_steps() -> None:
    sampler = make_epoch_sampler(CASES, steps=None, batch_size=2)
    torch.manual_seed(1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert first != second


@pytest.mark.parametrize(("steps", "counts"), [(2, {1}), (6, {2, 3})])
def test_epoch_has_given_steps_and_no_case_repeats_early(steps: int, counts: set[int]) -> None:
    """Two steps of two draw four of five cases. Six steps draw twelve, so each case two or three times."""
    loader = DataLoader(CASES, batch_size=2, sampler=make_epoch_sampler(CASES, steps=steps, batch_size=2))
    batches = [batch.tolist() for (batch,) in loader]
    drawn = Counter(case for batch in batches for case in batch)
    assert [len(batch) for batch in batches] == [2] * steps
    assert set(drawn.values()) <= counts


def test_each_process_of_a_distributed_run_has_given_steps() -> None:
    sampler = make_distributed_epoch_sampler(CASES, steps=4, batch_size=3)
    assert len(list(sampler)) == 12
