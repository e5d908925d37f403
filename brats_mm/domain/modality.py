"""The four MR sequences and their order."""

from enum import Enum


class Modality(str, Enum):
    """An MR sequence of a brain tumour protocol. The order of the members is the channel order everywhere."""

    T1 = "t1"
    T1CE = "t1ce"
    T2 = "t2"
    FLAIR = "flair"

    @property
    def label(self) -> str:
        """Name for display, such as `T1ce`."""
        return _LABELS[self]

    @property
    def channel(self) -> int:
        """Position in a tensor of all modalities."""
        return MODALITIES.index(self)


MODALITIES: tuple[Modality, ...] = tuple(Modality)

_LABELS = {Modality.T1: "T1", Modality.T1CE: "T1ce", Modality.T2: "T2", Modality.FLAIR: "FLAIR"}
