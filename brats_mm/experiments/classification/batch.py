"""Batches of modalities with different shapes: one tensor per modality, by key."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from brats_mm.training.iteration import Batch, Prepared, Put, stack_view_flags


class OneInputBatch(Batch):
    """Batch of stage 1 that passes one modality to its expert.

    Args:
        key: batch key of the modality.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def arrange(self, batch: Mapping[str, Tensor], put: Put) -> Prepared:
        """See `Batch.arrange`."""
        return put(batch[self.key]), put(batch["label"]), (), {}


class InputsBatch(Batch):
    """Batch that passes all modalities and their availability (b, v, m) in v views of each sample to a mixture.

    Args:
        keys: batch keys of the modalities, in the order of the experts.
        views: batch keys of the availability, each (b, v, m): `["available"]` for validation, `["more", "fewer"]` for
            stage 2.
    """

    def __init__(self, keys: Sequence[str], views: Sequence[str] = ("available",)) -> None:
        self.keys, self.views = tuple(keys), tuple(views)

    def arrange(self, batch: Mapping[str, Tensor], put: Put) -> Prepared:
        """See `Batch.arrange`."""
        label, views = batch["label"], stack_view_flags([batch[key] for key in self.views])
        inputs = [put(batch[key]) for key in self.keys]
        return inputs, put(label.repeat(len(views) // len(label))), (put(views),), {}
