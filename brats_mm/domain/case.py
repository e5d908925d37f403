"""A case: the sequences of one patient at one time that are at hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from brats_mm.domain.availability import Availability
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.preprocessing import Preparation
from brats_mm.domain.volume import Grid, Volume


@dataclass(frozen=True)
class CaseFiles:
    """Which file is which sequence, before any voxel is read.

    Attributes:
        name: the case's name, for outputs.
        found: path of each sequence that is there.
        ignored: file name -> why it is not used.
        notes: what a reader should know about how the sequences were recognised.
    """

    name: str
    found: Mapping[Modality, str]
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> Availability:
        """The sequences that are not there."""
        return frozenset(MODALITIES) - frozenset(self.found)


@dataclass(frozen=True, eq=False)
class Scans:
    """The sequences that are there as they came, each on a grid of its own, with or without the skull.

    Attributes:
        name: the case's name, for outputs.
        volumes: one volume a sequence.
        warnings: what a reader of the results should know about the input.
        files: where the sequences came from, if from files.
    """

    name: str
    volumes: Mapping[Modality, Volume]
    warnings: tuple[str, ...] = ()
    files: CaseFiles | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """The sequences that are there, on one grid.

    Attributes:
        name: the case's name, for outputs.
        volumes: one volume a sequence, all of `grid.shape`.
        grid: the input grid, on which every output lies.
        warnings: what a reader of the results should know about the input.
        files: where the sequences came from, if from files.
        preparation: what the input was taken for and what was done to it, where that was looked at.
    """

    name: str
    volumes: Mapping[Modality, Volume]
    grid: Grid
    warnings: tuple[str, ...] = ()
    files: CaseFiles | None = None
    preparation: Preparation | None = None

    @property
    def available(self) -> Availability:
        """The sequences that are there."""
        return frozenset(self.volumes)

    @property
    def missing(self) -> Availability:
        """The sequences that are not there."""
        return frozenset(MODALITIES) - self.available
