"""Deep supervision gets the requested decoder levels, in training only."""

import torch

from brats_mm.networks.expert import UNetExpert
from brats_mm.training.decoder_levels import DecoderLevels
from brats_mm.training.warm_start import unwrap


def test_levels_are_finest_first_in_training() -> None:
    torch.manual_seed(0)
    network = UNetExpert([2, 2, 4])
    image = torch.rand(1, 1, 16, 8, 8)

    levels = DecoderLevels(network, levels=2).train()(image)

    assert [tuple(level.shape[2:]) for level in levels] == [(16, 8, 8), (8, 4, 4)]
    assert torch.equal(levels[0], network(image))
    assert torch.equal(DecoderLevels(network).train()(image)[0], network(image))


def test_validation_and_checkpoints_use_only_the_expert() -> None:
    torch.manual_seed(0)
    network = UNetExpert([2, 2, 4])
    image = torch.rand(1, 1, 16, 8, 8)
    wrapped = DecoderLevels(network, levels=2).eval()

    assert torch.equal(wrapped(image), network(image))
    assert unwrap(wrapped) is network
