"""Training of a mixture's cross-sequence expert alone."""

import torch

from brats_mm.networks.presets import cross_sequence
from brats_mm.training.cross_levels import CrossLevelsInferer


def test_only_cross_expert_gets_gradients_from_all_its_levels():
    torch.manual_seed(0)
    network = cross_sequence()
    image, available = torch.randn(1, 4, 32, 32, 32), torch.tensor([[True, False, True, True]])
    levels = CrossLevelsInferer()(image, network, available)
    assert [tuple(level.shape[1:]) for level in levels[:2]] == [(3, 32, 32, 32), (3, 16, 16, 16)]
    assert torch.equal(levels[0], network.cross(image, available))
    sum(level.sum() for level in levels).backward()
    with_gradient = {name.partition(".")[0] for name, one in network.named_parameters() if one.grad is not None}
    assert with_gradient == {"cross"}
