"""Record of the preprocessing of raw scans: request, choices and steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from brats_mm.domain.availability import describe, sort_modalities
from brats_mm.domain.input_kind import Recognition
from brats_mm.domain.modality import Modality
from brats_mm.domain.resample import compute_resampled_side
from brats_mm.domain.volume import Grid
from brats_mm.errors import OptionError

WORKING_MM = 1.0
"""Voxel size of preprocessed scans, as in BraTS data."""

MAX_SHEAR_DEG = 0.05
"""Deviation from right angles above which axes are sheared: 0.2 mm over a head. Less is rounding."""

SLICE_TIE = 1.2
"""Ratio to the thinnest slices up to which slices count as equally thin."""

MIN_COVERAGE = 0.75
"""Minimum volume of a reference, as a fraction of the volume that the widest sequence covers."""

_PREFERRED = (Modality.T1CE, Modality.FLAIR, Modality.T1, Modality.T2)

Quality = Mapping[str, float | int | str | bool]


@dataclass(frozen=True)
class Step:
    """One preprocessing step.

    Attributes:
        name: description of the step.
        seconds: duration.
        quality: measures, plain numbers with their units in the names.
        warnings: reasons to check the result.
    """

    name: str
    seconds: float
    quality: Quality = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preparation:
    """Recognised kind and preprocessing of an input.

    Attributes:
        recognition: raw or prepared, with the evidence.
        reference: sequence with the grid of the results. None if no preprocessing was needed.
        reason: reason for that sequence.
        steps: steps in order. Empty for prepared input.
    """

    recognition: Recognition
    reference: Modality | None = None
    reason: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings of all steps."""
        return tuple(warning for step in self.steps for warning in step.warnings)

    @property
    def seconds(self) -> dict[str, float]:
        """Return the duration of each step in seconds."""
        return {step.name: step.seconds for step in self.steps}


def count_steps(sequences: int, *, n4: bool) -> int:
    """Return the number of steps for raw scans: a registration per moving sequence, resampling, N4, and the brain."""
    return (sequences - 1) + 1 + (sequences if n4 else 0) + 1


def choose_reference(grids: Mapping[Modality, Grid], reference: Modality | None = None) -> tuple[Modality, str]:
    """Choose the sequence to register the others to.

    Prefers thin slices, because lost resolution cannot be restored. Skips sequences that cover much less than the
    widest one. Breaks ties in the order T1ce, FLAIR, T1, T2.

    Args:
        grids: grid of each sequence.
        reference: sequence requested by the user. None chooses automatically.

    Returns:
        The sequence, and the reason as a sentence.

    Raises:
        OptionError: the requested sequence is missing.
    """
    if reference is not None:
        if reference not in grids:
            raise OptionError(
                f"The reference {reference.label} is not among the available sequences ({describe(grids)}). Select "
                "one of them, or omit the option."
            )
        return reference, f"{reference.label} was requested."
    covered = {modality: grid.voxels * grid.voxel_ml for modality, grid in grids.items()}
    wide = [
        modality for modality in sort_modalities(grids) if covered[modality] >= MIN_COVERAGE * max(covered.values())
    ]
    thickness = {modality: max(grids[modality].spacing_mm) for modality in wide}
    thinnest = min(thickness.values())
    best = [modality for modality in _PREFERRED if thickness.get(modality, np.inf) <= SLICE_TIE * thinnest]
    if len(grids) == 1:
        return best[0], f"{best[0].label} is the only sequence."
    if len(best) == 1:
        return best[0], f"{best[0].label} has the thinnest slices ({thickness[best[0]]:.2g} mm)."
    return best[0], (
        f"{describe(best)} have slices of similar thickness ({thinnest:.2g} mm), and {best[0].label} has priority."
    )


def make_working_grid(reference: Grid, spacing_mm: float = WORKING_MM) -> Grid:
    """Cut the reference's field of view into voxels of about `spacing_mm`, as `domain.resample` does.

    The axes keep their directions. The grid of a sheared reference is replaced by an orthogonal grid that contains all
    of its voxels.

    Args:
        reference: grid of the reference sequence.
        spacing_mm: approximate voxel size.
    """
    if reference.shear_deg > MAX_SHEAR_DEG:
        return _make_upright_grid(reference, spacing_mm)
    x, y, z = (
        compute_resampled_side(size, mm, spacing_mm)
        for size, mm in zip(reference.shape, reference.spacing_mm, strict=True)
    )
    return reference.resize((x, y, z))


def _make_upright_grid(sheared: Grid, spacing_mm: float) -> Grid:
    """Return the orthogonal grid that contains a sheared grid and is oriented most like it."""
    u, _, right = np.linalg.svd(sheared.affine[:3, :3] / np.array(sheared.spacing_mm))
    turn = u @ right
    edges = np.array(list(product(*((-0.5, side - 0.5) for side in sheared.shape))))
    along = (edges @ sheared.affine[:3, :3].T + sheared.affine[:3, 3]) @ turn
    low, high = along.min(axis=0), along.max(axis=0)
    x, y, z = (max(1, int(np.ceil(side - 1e-6))) for side in (high - low) / spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing_mm
    affine[:3, 3] = turn @ (low + spacing_mm / 2)
    return Grid((x, y, z), affine)
