"""A case: the available sequences of one patient at one time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from brats_mm.domain.availability import Availability
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.preprocessing import Preparation
from brats_mm.domain.volume import Grid, Volume


@dataclass(frozen=True)
class CaseFiles:
    """Files of the sequences, before any voxel is read.

    Attributes:
        name: name of the case for outputs.
        paths: path of each available sequence.
        ignored: reason by name of each file that is not used.
        notes: notes on how the sequences were recognised.
    """

    name: str
    paths: Mapping[Modality, str]
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> Availability:
        """The missing sequences."""
        return frozenset(MODALITIES) - frozenset(self.paths)


@dataclass(frozen=True, eq=False)
class Scans:
    """Sequences as acquired, each on its own grid, with or without skull.

    Attributes:
        name: name of the case for outputs.
        volumes: one volume per sequence.
        warnings: warnings about the input for readers of the results.
        files: source files, if any.
    """

    name: str
    volumes: Mapping[Modality, Volume]
    warnings: tuple[str, ...] = ()
    files: CaseFiles | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """Available sequences on one grid.

    Attributes:
        name: name of the case for outputs.
        volumes: one volume per sequence, all of `grid.shape`.
        grid: grid of the input and of all outputs.
        warnings: warnings about the input for readers of the results.
        files: source files, if any.
        preparation: recognised kind and preprocessing of the input, if it was checked.
    """

    name: str
    volumes: Mapping[Modality, Volume]
    grid: Grid
    warnings: tuple[str, ...] = ()
    files: CaseFiles | None = None
    preparation: Preparation | None = None

    @property
    def available(self) -> Availability:
        """The available sequences."""
        return frozenset(self.volumes)

    @property
    def missing(self) -> Availability:
        """The missing sequences."""
        return frozenset(MODALITIES) - self.available

    @cached_property
    def brain_ml(self) -> float:
        """Volume of the brain in millilitres: the voxels that are foreground in any sequence."""
        brain = np.logical_or.reduce([volume.foreground for volume in self.volumes.values()])
        return float(np.count_nonzero(brain) * self.grid.voxel_ml)
