"""Run only the cross-sequence expert of a mixture in training."""

from typing import Any

from monai.inferers import Inferer
from torch import Tensor, nn

from brats_mm.training.warm_start import unwrap


class CrossLevelsInferer(Inferer):
    """Inferer that returns the logits of each decoder level of a mixture's cross-sequence expert.

    The rest of the mixture gets no gradient and does not change.
    """

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Return logits (b, c, h / 2^k, w / 2^k, d / 2^k) for each level k, finest first.

        Args:
            inputs: (b, m, h, w, d) z-scores.
            network: a `CrossSequenceMixture`.
            args: availability (b, m) of the images.
            kwargs: not used.
        """
        (available,) = args
        cross: Any = unwrap(network).cross
        levels: list[Tensor] = cross.forward_levels_available(inputs, available)
        return levels
