"""A constant subtracted from the output biases is subtracted from the logits of every subset."""

import pytest
import torch

from brats_mm.errors import OptionError
from brats_mm.networks.offset import subtract_from_logits
from brats_mm.networks.presets import simmlm


@pytest.mark.parametrize("level", ["logit", "feature"])
@pytest.mark.parametrize("available", [[True] * 4, [False, True, False, True], [True, False, False, False]])
def test_logits_shift_by_offsets(level, available):
    torch.manual_seed(0)
    network, image = simmlm(level=level).eval(), torch.randn(1, 4, 64, 32, 32)
    flags = torch.tensor([available])
    with torch.no_grad():
        before = network(image, flags)
        subtract_from_logits(network, (1.0, 2.0, -0.5))
        moved = before - network(image, flags)

    assert moved.mean(dim=(0, 2, 3, 4)).tolist() == pytest.approx([1.0, 2.0, -0.5], abs=1e-4)
    assert moved.std(dim=(2, 3, 4)).max() < 1e-4


def test_rejects_offsets_for_mixed_probabilities():
    with pytest.raises(OptionError, match="Create the bundle without calibration"):
        subtract_from_logits(simmlm(level="probability"), (1.0, 1.0, 1.0))
