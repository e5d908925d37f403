"""Deep supervision sees as many decoder levels as it asks for."""

import torch

from brats_mm.networks.expert import UNetExpert
from brats_mm.training.decoder_levels import DecoderLevels


def test_levels_come_finest_first() -> None:
    torch.manual_seed(0)
    network = UNetExpert([2, 2, 4]).eval()
    image = torch.rand(1, 1, 16, 8, 8)

    levels = DecoderLevels(levels=2)(image, network)

    assert [tuple(level.shape[2:]) for level in levels] == [(16, 8, 8), (8, 4, 4)]
    assert torch.equal(levels[0], network(image))
    assert torch.equal(DecoderLevels()(image, network)[0], network(image))
