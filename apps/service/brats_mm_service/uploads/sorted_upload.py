"""The sequences of an upload."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SortedUpload:
    """The usable files of an upload, stored as `<sequence>.<suffix>`, or as folders `<sequence>` for DICOM series.

    Attributes:
        sequences: stored file name of each sequence, in channel order.
        ignored: reason for each ignored file or series.
        notes: notes on how the sequences were recognised.
        names: the caller's file name by sequence.
    """

    sequences: Mapping[str, str]
    ignored: Mapping[str, str]
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
