"""Batches and outputs of MMP in training."""

import torch

from brats_mm.experiments.mmp.batch import MaskedBatch
from brats_mm.experiments.mmp.network import Decoder, MaskedProjectionNetwork
from brats_mm.experiments.mmp.projection import Projection
from brats_mm.experiments.mmp.training import AlignedTraining
from brats_mm.networks.expert import Encoder
from brats_mm.training.warm_start import unwrap


def network() -> MaskedProjectionNetwork:
    encoders = {name: Encoder((2, 4)) for name in ("t1", "t1ce", "t2", "flair")}
    return MaskedProjectionNetwork(
        encoders, [Projection(4, 4, aggregated=2, heads=2)], Decoder([8, 16], [4, 8], out_channels=3)
    )


def test_batch_has_shown_and_available_modalities_per_view():
    shown = torch.tensor([[[True, False], [False, True]], [[True, True], [True, False]]])  # (b v m)
    batch = {
        "image": torch.rand(2, 2, 4, 4, 4),
        "label": torch.rand(2, 3, 4, 4, 4),
        "available": shown,
        "present": torch.tensor([[True, True], [True, False]]),
    }
    image, label, (available, present), _ = MaskedBatch()(batch, "cpu")
    assert (len(image), len(label)) == (2, 4)
    assert available.tolist() == [[True, False], [True, True], [False, True], [True, False]]
    assert present.tolist() == [[True, True], [True, False]] * 2


def test_only_training_returns_features_for_alignment():
    wrapped = AlignedTraining(network())
    image, shown = torch.rand(1, 4, 8, 4, 4), torch.tensor([[True, False, True, True]])
    logits, projected, real, masked = wrapped.train()(image, shown, torch.ones_like(shown))
    assert projected[0].shape == real[0].shape == (1, 4, 4, 4, 2, 2)
    assert masked.tolist() == [[False, True, False, False]]
    torch.testing.assert_close(wrapped.eval()(image, shown), logits)


def test_checkpoints_hold_unwrapped_network():
    inner = network()
    assert unwrap(AlignedTraining(inner)) is inner
