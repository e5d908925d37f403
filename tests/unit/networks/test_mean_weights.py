"""Mean of the weights of several checkpoints."""

import torch

from brats_mm.networks.mean_weights import average_weights


def test_weights_are_averaged_in_float32_and_counters_come_from_first_checkpoint():
    one = {"w": torch.tensor([1.0, 2.0], dtype=torch.float16), "steps": torch.tensor(3)}
    other = {"w": torch.tensor([2.0, -4.0]), "steps": torch.tensor(8)}
    averaged = average_weights([one, other])
    assert averaged["w"].tolist() == [1.5, -1.0]
    assert averaged["w"].dtype == torch.float32
    assert averaged["steps"] == 3


def test_mean_of_one_checkpoint_is_unchanged():
    assert average_weights([{"w": torch.tensor([0.25])}])["w"].tolist() == [0.25]
