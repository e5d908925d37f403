"""Networks that answer for an availability set as a whole, and do not weigh their sequences."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from brats_mm.networks.mixing import available_by_content, split_views


class SingleNetwork(nn.Module, ABC):
    """A network without experts that could be run one by one and weighed by a gate.

    It is called as a mixture is (`DMoME.forward`): with an image and the availability of one or several views of it,
    for which it shares what it can. Since nothing in it says how much a sequence counted, predictions of it hold no
    importance.
    """

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Logits.

        Args:
            image: (b, m, h, w, d); what stands in the channel of a missing modality has no effect.
            available: (b, m) booleans, at least one true a row, or (v b, m) for v views of each sample, first all
                samples in the first view. Without it, channels of zeros count as missing.

        Returns:
            (b, c, h, w, d), or (v b, c, h, w, d) of v views.
        """
        if available is None:
            available = available_by_content(image)
        return self.predict_views(image, split_views(available, image.shape[0]))

    @abstractmethod
    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        """Logits (v b, c, h, w, d) of an image (b, m, h, w, d) in views (v, b, m) of it."""

    @abstractmethod
    def logit_bias(self) -> nn.Parameter:
        """The bias of the layer that makes the logits, (c,): what a calibration moves."""
