"""Networks without a gate over experts."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from brats_mm.networks.mixing import detect_available, split_views


class SingleNetwork(nn.Module, ABC):
    """Network without modality weights. Its predictions have no importance of sequences.

    It has the interface of a mixture (`DMoME.forward`) and may share computation between views of an image.
    """

    def forward(self, image: Tensor, available: Tensor | None = None) -> Tensor:
        """Return the logits.

        Args:
            image: (b, m, h, w, d). Channels of missing modalities are ignored.
            available: (b, m) booleans, at least one true per row, or (v b, m) for v views of each sample, grouped by
                view. Without it, all-zero channels count as missing.

        Returns:
            Logits (b, c, h, w, d), or (v b, c, h, w, d) for v views.
        """
        if available is None:
            available = detect_available(image)
        return self.predict_views(image, split_views(available, image.shape[0]))

    @abstractmethod
    def predict_views(self, image: Tensor, views: Tensor) -> Tensor:
        """Return logits (v b, c, h, w, d) of an image (b, m, h, w, d) for its views (v, b, m).

        Args:
            image: (b, m, h, w, d), zero in missing channels.
            views: (v, b, m) booleans, at least one true for each sample of each view.
        """

    @abstractmethod
    def logit_bias(self) -> nn.Parameter:
        """Return the bias (c,) of the output layer, which calibration shifts."""
