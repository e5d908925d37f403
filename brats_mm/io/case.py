"""Read the sequences of a case from files and check their grids."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np

from brats_mm.domain.atlas import warn_about_atlas
from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.case import Case, CaseFiles, Scans
from brats_mm.domain.content_warnings import warn_about_content, warn_about_copies, warn_about_outline
from brats_mm.domain.input_kind import detect_stripped
from brats_mm.domain.lattice import EXACT_GRID_MM, GRID_TOLERANCE, OneGrid, unify_grids
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import CaseError, GridError, InputError, VolumeError
from brats_mm.io.case_files import build_explicit_case, find_case
from brats_mm.io.volume import read_volume, warn_about_header

__all__ = ["build_case", "build_explicit_case", "find_case", "read_case", "read_scans"]

LEANING_DEG = 1.0
"""Shear of a prepared image above which a warning is given."""


def read_case(files: CaseFiles, *, tolerance: float = GRID_TOLERANCE) -> Case:
    """Read all sequences of a case onto one grid.

    The grid is that of the sequence with the most voxels, or the first of these in channel order (T1, T1ce, T2, FLAIR).
    Sequences stored in another axis order, direction or crop are brought to it exactly.

    Args:
        files: files of the case.
        tolerance: maximum distance between corresponding voxel centres of two grids, as a fraction of a voxel.

    Raises:
        VolumeError, GridError, CaseError: all faults of the case in one message, with the class of the most severe one.
    """
    volumes, faults = _read_all(files, read_volume)
    together = unify_grids(volumes, tolerance) if volumes else None
    if volumes and together is None:
        faults.append(_make_grid_error(files.name, files, volumes))
    _raise_faults(faults)
    assert together is not None
    return _build_case(files.name, volumes, together, files)


def read_scans(files: CaseFiles, *, read: Callable[[Path], Volume] = read_volume) -> Scans:
    """Read all sequences of a case, each on its own grid.

    Raises:
        VolumeError, CaseError: all faults of the case in one message, with the class of the most severe one.
    """
    volumes, faults = _read_all(files, read)
    _raise_faults(faults)
    warnings = [warning for modality in sort_modalities(volumes) for warning in _warn_about_headers(modality, volumes)]
    return Scans(files.name, volumes, (*warnings, *_warn_about_atlas(volumes)), files)


def build_case(scans: Scans, *, tolerance: float = GRID_TOLERANCE) -> Case:
    """Bring scans that share a lattice to one grid, like `read_case`.

    Args:
        scans: sequences, each on its own grid.
        tolerance: maximum distance between corresponding voxel centres, as a fraction of a voxel.

    Raises:
        GridError: the scans do not share a lattice.
    """
    together = unify_grids(scans.volumes, tolerance)
    if together is None:
        raise _make_grid_error(scans.name, scans.files, scans.volumes)
    return _build_case(scans.name, scans.volumes, together, scans.files, scans.warnings)


def _build_case(
    name: str,
    volumes: Mapping[Modality, Volume],
    together: OneGrid,
    files: CaseFiles | None,
    notes: tuple[str, ...] = (),
) -> Case:
    warnings = _collect_warnings(volumes, together)
    ordered_notes = (*(note for note in notes if note not in warnings), *warnings)
    return Case(name, together.volumes, together.grid, ordered_notes, files)


def _raise_faults(faults: list[InputError]) -> None:
    if faults:
        severity = (VolumeError, GridError, CaseError, InputError)
        kind = next(kind for kind in severity if any(isinstance(fault, kind) for fault in faults))
        raise kind(" ".join(dict.fromkeys(str(fault) for fault in faults)))


def _read_all(files: CaseFiles, read: Callable[[Path], Volume]) -> tuple[dict[Modality, Volume], list[InputError]]:
    volumes: dict[Modality, Volume] = {}
    faults: list[InputError] = []
    if not files.paths:
        faults.append(
            CaseError(f"Case {files.name} has no sequence. Provide at least one, for example with --t1ce FILE.")
        )
    with ThreadPoolExecutor(max_workers=4) as pool:  # decompression releases the GIL
        tasks = {modality: pool.submit(read, Path(files.paths[modality])) for modality in sort_modalities(files.paths)}
        for modality, task in tasks.items():
            try:
                volumes[modality] = task.result()
            except InputError as fault:  # noqa: PERF203 (all faults are reported at once)
                faults.append(fault)
    return volumes, [*faults, *_find_twin_faults(files, volumes)]


def _make_grid_error(name: str, files: CaseFiles | None, volumes: Mapping[Modality, Volume]) -> GridError:
    grids_text = "; ".join(_describe(modality, files, volumes[modality].grid) for modality in sort_modalities(volumes))
    return GridError(
        f"The sequences of case {name} have different grids: {grids_text}. "
        "Register and resample them to one grid, or omit --prepared to register them automatically."
    )


def _describe(modality: Modality, files: CaseFiles | None, grid: Grid) -> str:
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{value:.4g}" for value in grid.spacing_mm)
    offset = ", ".join(f"{value:.4g}" for value in grid.affine[:3, 3])
    axes = "".join(nib.aff2axcodes(grid.affine))
    file = f" ({Path(files.paths[modality]).name})" if files is not None else ""
    return f"{modality.label}{file} has {shape} voxels of {spacing} mm, orientation {axes}, offset ({offset}) mm"


def _find_twin_faults(files: CaseFiles, volumes: Mapping[Modality, Volume]) -> Iterator[CaseError]:
    """Yield a fault if two sequences have identical images, even with different file names."""
    twins = [
        f"{a.label} ({Path(files.paths[a]).name}) and {b.label} ({Path(files.paths[b]).name})"
        for a, b in combinations(sort_modalities(volumes), 2)
        if _has_same_voxels(volumes[a].data, volumes[b].data)
    ]
    if twins:
        yield CaseError(
            f"The same image was given twice: {'; '.join(twins)} have identical voxels. Provide a separate file for "
            "each sequence, and omit missing sequences."
        )


def _has_same_voxels(a: Array, b: Array) -> bool:
    """Return whether two images are equal. Comparing the middle slices usually decides."""
    if a.shape != b.shape:
        return False
    middle = a.shape[2] // 2
    return np.array_equal(a[..., middle], b[..., middle]) and np.array_equal(a, b)


def _collect_warnings(volumes: Mapping[Modality, Volume], together: OneGrid) -> tuple[str, ...]:
    warnings: list[str] = []
    for modality in sort_modalities(volumes):
        volume = volumes[modality]
        warnings += _warn_about_headers(modality, volumes)
        apart_mm = together.apart_mm[modality]
        if apart_mm > EXACT_GRID_MM:
            warnings.append(
                f"{modality.label} is {apart_mm:.3f} mm off the case's grid. Its voxels are assigned to the nearest "
                "voxels of that grid. --grid-tolerance sets the maximum distance."
            )
        if volume.grid.shear_deg > LEANING_DEG:
            warnings.append(
                f"The axes of {modality.label} are {volume.grid.shear_deg:.1f} degrees from orthogonal, so the model "
                "sees a distorted head. Resample the image to an orthogonal grid, or use --raw."
            )
        stripped, evidence = detect_stripped(volume)
        if not stripped:
            warnings.append(
                f"{modality.label} does not look skull-stripped: {evidence}. "
                "The model was trained on skull-stripped images, so results will be poor."
            )
        else:
            warnings += warn_about_outline(modality, volume)
        warnings += warn_about_content(modality, volume)
    return (*warnings, *_warn_about_atlas(volumes), *warn_about_copies(together.volumes))


def _warn_about_atlas(volumes: Mapping[Modality, Volume]) -> tuple[str, ...]:
    return warn_about_atlas({modality: volume.grid for modality, volume in volumes.items()})


def _warn_about_headers(modality: Modality, volumes: Mapping[Modality, Volume]) -> list[str]:
    """Return warnings about headers, without file names.

    File names can contain patient names, and the warnings enter the report.
    """
    volume = volumes[modality]
    return [f"{modality.label}: {warning}." for warning in (*warn_about_header(volume.grid), *volume.notes)]
