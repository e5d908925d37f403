"""Draw the cases of an epoch: every case once, or the cases of a given number of steps."""

from typing import Any

from monai.data.samplers import DistributedSampler
from torch.utils.data import Dataset, RandomSampler, Sampler


def make_epoch_sampler(dataset: Dataset[Any], *, steps: int | None, batch_size: int) -> Sampler[int]:
    """Return a sampler that draws the cases of an epoch in random order.

    Args:
        dataset: training cases.
        steps: steps per epoch. No case repeats before all have been drawn in the epoch. None draws every case once.
        batch_size: cases per step.
    """
    cases: Any = dataset
    return RandomSampler(cases, num_samples=None if steps is None else steps * batch_size)


def make_distributed_epoch_sampler(dataset: Dataset[Any], *, steps: int | None, batch_size: int) -> Sampler[int]:
    """Return the sampler of one process of a distributed run.

    Args:
        dataset: training cases.
        steps: steps per epoch. Each process draws its cases from all of them, with its own random numbers. None
            divides the cases evenly between the processes.
        batch_size: cases per step and process.
    """
    if steps is not None:
        return make_epoch_sampler(dataset, steps=steps, batch_size=batch_size)
    share: Sampler[int] = DistributedSampler(dataset, even_divisible=True, shuffle=True)
    return share
