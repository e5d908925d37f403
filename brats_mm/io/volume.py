"""Read volumes of any format. Headers are parsed strictly, and voxels are read by one function.

Opens only the named file and, for formats of two files, its companion.
"""

from collections.abc import Callable
from pathlib import Path

from brats_mm.data.nan_background import fill_nan_background
from brats_mm.data.value_range import scale_extremes
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import VolumeError
from brats_mm.io.channels import split_channel
from brats_mm.io.dicom.one_series import read_series_folder
from brats_mm.io.dicom.scan import holds_dicom
from brats_mm.io.formats import metaimage, mgh, nrrd
from brats_mm.io.formats.metaimage import parse_metaimage
from brats_mm.io.formats.mgh import parse_mgh
from brats_mm.io.formats.nifti import count_nifti_volumes, parse_nifti
from brats_mm.io.formats.nrrd import parse_nrrd
from brats_mm.io.formats.raster import Raster, check_fetched, check_length, convert_reading_errors, read_voxels
from brats_mm.io.suffixes import NIFTI_SUFFIXES, PAIR_SUFFIXES, explain_unreadable, find_image_suffix
from brats_mm.io.volume_checks import check_voxels

AGREEMENT_MM = 0.5
"""Distance between corners of a NIfTI header's two matrices above which a warning is given."""

_PARSERS: dict[str, Callable[[Path], Raster]] = {
    **dict.fromkeys((*NIFTI_SUFFIXES, *PAIR_SUFFIXES, *PAIR_SUFFIXES.values()), parse_nifti),
    **dict.fromkeys(metaimage.SUFFIXES, parse_metaimage),
    **dict.fromkeys(nrrd.SUFFIXES, parse_nrrd),
    **dict.fromkeys(mgh.SUFFIXES, parse_mgh),
}


def read_volume(path: Path) -> Volume:
    """Read a volume file, or a folder with one DICOM series.

    Validates the header before allocating memory. If a NIfTI header has both matrices, the sform takes precedence, as
    in nibabel. `warn_about_header` reports differences.

    Args:
        path: volume file, with `#2` for the third volume of a four-dimensional NIfTI file, or folder of a DICOM series.

    Returns:
        The volume, with notes about repairs.

    Raises:
        VolumeError: the file is missing, damaged or of another kind, or its voxels or geometry are unusable.
    """
    with convert_reading_errors(path):
        is_folder = path.is_dir()
    if is_folder and holds_dicom(path):
        return read_series_folder(path)
    volume = read_stored(path)
    filled, nan_notes = fill_nan_background(volume.data)
    check_voxels(filled, path)
    data, scale_notes = scale_extremes(filled)
    return Volume(data, volume.grid, (*volume.notes, *nan_notes, *scale_notes))


def read_stored(path: Path) -> Volume:
    """Read a volume file like `read_volume`, but without checks of its voxels, for label maps.

    Returns:
        The volume, with values as stored.

    Raises:
        VolumeError: the file is missing, damaged or of another kind, or its geometry cannot be used.
    """
    with convert_reading_errors(path):
        raster = _parse(path)
        return Volume(read_voxels(raster), raster.grid, raster.notes)


def read_grid(path: Path) -> Grid:
    """Read the grid of a volume from its header, or of a DICOM folder from its series.

    Raises:
        VolumeError: as for `read_volume`, except for faults of voxels.
    """
    return read_header(path)[0]


def read_header(path: Path) -> tuple[Grid, tuple[str, ...]]:
    """Read the grid like `read_grid`, with notes and warnings about the header.

    Raises:
        VolumeError: as for `read_volume`, except for faults of voxels.
    """
    with convert_reading_errors(path):
        if not path.is_dir() or not holds_dicom(path):
            raster = _parse(path)
            return raster.grid, (*warn_about_header(raster.grid), *raster.notes)
    volume = read_series_folder(path)
    return volume.grid, volume.notes


def check_volume(path: Path, *, one_file: bool = False) -> None:
    """Check a volume file by its header and length, without loading its voxels.

    Args:
        path: the file.
        one_file: whether to reject voxels in a second file, as for untrusted files.

    Raises:
        VolumeError: the header is damaged or unusable, or the file lacks data.
    """
    with convert_reading_errors(path):
        raster = _parse(path)
        if one_file and raster.data != path:
            raise VolumeError(
                f"{path.name} stores its voxels in another file. Convert it to a single file, for example .nii.gz."
            )
        check_length(raster)


def count_volumes(path: Path) -> int | None:
    """Return the number of volumes of a NIfTI file by its header, or None."""
    if find_image_suffix(path.name) not in NIFTI_SUFFIXES:
        return None
    try:
        return count_nifti_volumes(path)
    except (VolumeError, OSError, EOFError, ValueError):
        return None


def warn_about_header(grid: Grid) -> tuple[str, ...]:
    """Return warnings about a header's geometry, without the file name."""
    if grid.sform_code <= 0 and grid.qform_code <= 0:
        return (
            "the header does not define the position of the volume (in NIfTI, the sform and qform codes are 0), so "
            "left and right are uncertain",
        )
    if grid.sform_code <= 0 or grid.qform_code <= 0 or grid.sform is None or grid.qform is None:
        return ()
    apart_mm = Grid(grid.shape, grid.sform).distance_mm(Grid(grid.shape, grid.qform))
    if apart_mm <= AGREEMENT_MM:
        return ()
    return (f"the sform and the qform of the header differ by up to {apart_mm:.1f} mm, and the sform is used",)


def _parse(named: Path) -> Raster:
    path, channel = split_channel(named)
    if not path.exists() and not path.is_symlink():
        raise VolumeError(f"{path} does not exist. Check the name.")
    if path.is_dir():
        raise VolumeError(f"{path} is a folder. Provide one volume file for the sequence.")
    suffix = find_image_suffix(path.name)
    if suffix is None:
        raise VolumeError(f"{path.name} cannot be read: {explain_unreadable(path.name)}.")
    check_fetched(path)
    return _PARSERS[suffix](path) if channel is None else parse_nifti(path, channel)
