"""Batches of masked views for training."""

from collections.abc import Mapping

from torch import Tensor

from brats_mm.training.iteration import MixtureBatch, Prepared, Put


class MaskedBatch(MixtureBatch):
    """Passes the availability of each view, (b, v, m), and the modalities to reconstruct in training."""

    def arrange(self, batch: Mapping[str, Tensor], put: Put) -> Prepared:
        """See `Batch.arrange`."""
        image, label, (available,), _ = super().arrange(batch, put)
        views = len(available) // len(image)
        return image, label, (available, put(batch["present"]).repeat(views, 1)), {}
