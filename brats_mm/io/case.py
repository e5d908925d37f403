"""A case from files: which sequences are there, and whether they lie on one grid."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np

from brats_mm.domain.availability import ordered
from brats_mm.domain.case import Case, CaseFiles
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Array, Grid, Volume
from brats_mm.errors import CaseError, GridError, InputError, VolumeError
from brats_mm.io.case_files import explicit_case, find_case
from brats_mm.io.nifti import header_warnings, read_volume

__all__ = ["explicit_case", "find_case", "read_case"]

SAME_GRID_MM = 0.1
"""Corners of two files may lie this far apart: headers round."""
EXACT_GRID_MM = 1e-3
"""Corners further apart than this deserve a word."""
STRIPPED_SHARE = 0.6
"""A volume in which more of the voxels than this differ from the background still has its skull, neck and air noise."""


def read_case(files: CaseFiles, *, read: Callable[[Path], Volume] = read_volume) -> Case:
    """Read all sequences of a case and check that they fit together.

    The case's grid is that of its first sequence in channel order (T1, T1ce, T2, FLAIR).

    Args:
        files: which file is which sequence.
        read: how one file is read.

    Raises:
        VolumeError, GridError, CaseError: all faults of the case in one message; the class is the gravest one's.
    """
    volumes, faults = _read_all(files, read)
    faults += [check for check in (_grid_fault(files, volumes), _twin_fault(files, volumes)) if check is not None]
    if faults:
        kind = next(kind for kind in (VolumeError, GridError, CaseError, InputError) if _any_is(faults, kind))
        raise kind(" ".join(dict.fromkeys(str(fault) for fault in faults)))
    grid = volumes[ordered(volumes)[0]].grid
    return Case(files.name, volumes, grid, _warnings(volumes, grid), files)


def _any_is(faults: list[InputError], kind: type[InputError]) -> bool:
    return any(isinstance(fault, kind) for fault in faults)


def _read_all(files: CaseFiles, read: Callable[[Path], Volume]) -> tuple[dict[Modality, Volume], list[InputError]]:
    volumes: dict[Modality, Volume] = {}
    faults: list[InputError] = []
    if not files.found:
        faults.append(CaseError(f"Case {files.name} has no sequence. Give at least one, for example with --t1ce FILE."))
    with ThreadPoolExecutor(max_workers=4) as pool:  # decompression runs outside Python's lock
        tasks = {modality: pool.submit(read, Path(files.found[modality])) for modality in ordered(files.found)}
        for modality, task in tasks.items():
            try:
                volumes[modality] = task.result()
            except InputError as fault:  # noqa: PERF203 (all faults are told at once)
                faults.append(fault)
    return volumes, faults


def _grid_fault(files: CaseFiles, volumes: Mapping[Modality, Volume]) -> GridError | None:
    grids = [volumes[modality].grid for modality in ordered(volumes)]
    if all(g.shape == grids[0].shape and g.distance_mm(grids[0]) <= SAME_GRID_MM for g in grids):
        return None
    shown = "; ".join(_describe(modality, files, volumes[modality].grid) for modality in ordered(volumes))
    return GridError(
        f"The sequences of case {files.name} do not lie on one grid: {shown}. "
        "Co-register them and resample them to one grid first."
    )


def _describe(modality: Modality, files: CaseFiles, grid: Grid) -> str:
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{value:.4g}" for value in grid.spacing_mm)
    offset = ", ".join(f"{value:.4g}" for value in grid.affine[:3, 3])
    axes = "".join(nib.aff2axcodes(grid.affine))
    return (
        f"{modality.label} ({Path(files.found[modality]).name}) has {shape} voxels of {spacing} mm, "
        f"orientation {axes}, offset ({offset}) mm"
    )


def _twin_fault(files: CaseFiles, volumes: Mapping[Modality, Volume]) -> CaseError | None:
    """The same image given as two sequences, under whatever names."""
    present = ordered(volumes)
    twins = [
        f"{a.label} ({Path(files.found[a]).name}) and {b.label} ({Path(files.found[b]).name})"
        for i, a in enumerate(present)
        for b in present[i + 1 :]
        if _same_voxels(volumes[a].data, volumes[b].data)
    ]
    if not twins:
        return None
    return CaseError(
        f"The same image was given twice: {'; '.join(twins)} have identical voxels. "
        "Give each sequence its own file, and leave out those that are missing."
    )


def _same_voxels(a: Array, b: Array) -> bool:
    """Whether two images are one; the middle slice tells nearly always."""
    middle = a.shape[2] // 2
    return np.array_equal(a[..., middle], b[..., middle]) and np.array_equal(a, b)


def _warnings(volumes: Mapping[Modality, Volume], grid: Grid) -> tuple[str, ...]:
    found: list[str] = []
    for modality in ordered(volumes):
        volume = volumes[modality]
        # No file names: warnings go into the report, and files can be named after patients.
        found += [f"{modality.label}: {warning}." for warning in header_warnings(volume.grid)]
        apart_mm = volume.grid.distance_mm(grid)
        if apart_mm > EXACT_GRID_MM:
            found.append(
                f"{modality.label} lies {apart_mm:.3f} mm off the case's grid; it is treated as if it lay on it."
            )
        share = _foreground_share(volume)
        if share > STRIPPED_SHARE:
            found.append(
                f"{modality.label} does not look skull-stripped: "
                f"{share:.0%} of its voxels are not background. "
                "The model was trained on skull-stripped images; results will be poor."
            )
    return tuple(found)


def _foreground_share(volume: Volume) -> float:
    """Share of voxels that are neither 0 nor, where the background was shifted, the smallest value."""
    data = volume.data
    background = max(np.count_nonzero(data == value) for value in {np.float32(0), data.min()})
    return 1.0 - background / data.size
