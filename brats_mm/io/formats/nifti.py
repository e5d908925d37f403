"""Parse NIfTI headers (.nii, .nii.gz, .hdr/.img pairs) and Analyze pairs, and repair unambiguous faults."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from brats_mm.data.nifti_units import convert_to_mm
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.spacing import is_plausible_spacing
from brats_mm.domain.volume import Grid
from brats_mm.errors import VolumeError
from brats_mm.io.formats.raster import MAX_OFFSET, Raster, detect_encoding, find_file_beside, read_start
from brats_mm.io.suffixes import NIFTI_SUFFIXES, PAIR_SUFFIXES, find_image_suffix, strip_image_suffix
from brats_mm.io.volume_checks import MAX_VOXELS, check_affine, check_spacing, is_usable_affine, to_spatial_shape

_HEADERS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
"""Formats by the first header field, the header's size."""

_MAX_CODE, _ALIGNED = 5, 2
"""Codes of coordinate systems. A larger code is unknown but means that a matrix exists, so it counts as aligned."""

_MAX_FILE_VOXELS = len(MODALITIES) * MAX_VOXELS
"""Largest number of voxels of a four-dimensional file."""

_SINGLE, _PAIR = (b"n+1", b"n+2"), (b"ni1", b"ni2")


def parse_nifti(path: Path, channel: int | None = None) -> Raster:
    """Read the header of a NIfTI or Analyze file. The second file of a pair must be in the same folder.

    Args:
        path: the file.
        channel: index of a volume of a four-dimensional file. None for a file with one volume.

    Raises:
        VolumeError: the volume does not exist, or the header is damaged or describes unusable voxels.
        OSError: a file cannot be opened.
    """
    suffix = find_image_suffix(path.name)
    if suffix in NIFTI_SUFFIXES:
        header, data = _read_header(path, path), path
    else:
        header_path, data = _find_pair(path)
        header = _read_header(header_path, path)
    with np.errstate(all="ignore"):
        try:
            return _build_raster(header, path, data, channel)
        except (HeaderDataError, ValueError, OverflowError, KeyError) as error:
            raise VolumeError(
                f"The NIfTI header of {path.name} is damaged ({error}). Copy or convert it again."
            ) from error


def count_nifti_volumes(path: Path) -> int:
    """Return the number of volumes in the header of a NIfTI file.

    Raises:
        VolumeError: the file has no NIfTI header.
        OSError: the file cannot be opened.
    """
    return math.prod(_read_shape(_read_header(path, path))[3:])


def find_pair_name(name: str) -> str | None:
    """Return the name of the other file of a pair, or None for single files."""
    partner_suffixes = {**PAIR_SUFFIXES, **{header: voxels for voxels, header in PAIR_SUFFIXES.items()}}
    suffix = find_image_suffix(name)
    if suffix not in partner_suffixes:
        return None
    partner = partner_suffixes[suffix]
    return strip_image_suffix(name) + (partner.upper() if name[-len(suffix) :].isupper() else partner)


def _find_pair(path: Path) -> tuple[Path, Path]:
    """Return the header file and the voxel file of a pair, given one of them."""
    name = find_pair_name(path.name)
    assert name is not None
    if not (path.parent / name).exists():
        raise VolumeError(
            f"{path.name} needs the file {name}, which is not in the same folder. Copy both into one folder."
        )
    partner = find_file_beside(path, name)
    return (path, partner) if find_image_suffix(path.name) in PAIR_SUFFIXES.values() else (partner, path)


def _read_header(header_path: Path, path: Path) -> Any:
    """Read a header with harmless faults corrected. nibabel does not check it, because it would log them."""
    block = read_start(header_path, 540)
    little = _HEADERS.get(int.from_bytes(block[:4], "little"))
    kind = little or _HEADERS.get(int.from_bytes(block[:4], "big"))
    single = find_image_suffix(path.name) in NIFTI_SUFFIXES
    if kind is None or len(block) < kind.sizeof_hdr:
        raise _make_not_nifti_error(path)
    # Given the byte order, nibabel does not guess it from the number of axes, which may be damaged.
    header = kind(block[: kind.sizeof_hdr], "<" if little else ">", check=False)
    magic = bytes(header["magic"].item()[:3])
    if single and magic in _PAIR:
        raise VolumeError(
            f"{path.name} is only the header of a pair. Provide the .img file, and put its .hdr into the same folder."
        )
    if not single and kind is nib.Nifti1Header and magic not in (*_SINGLE, *_PAIR):
        return nib.Spm99AnalyzeHeader(block[:348], check=False)
    if magic not in (_SINGLE if single else _PAIR):
        raise _make_not_nifti_error(path)
    for code in ("sform_code", "qform_code"):
        if int(header[code]) < 0:
            header[code] = 0
        elif int(header[code]) > _MAX_CODE:
            header[code] = _ALIGNED
    return header


def _make_not_nifti_error(path: Path) -> VolumeError:
    return VolumeError(f"{path.name} is not a NIfTI volume, despite its name. Provide an MR volume as .nii or .nii.gz.")


def _build_raster(header: Any, path: Path, data: Path, channel: int | None) -> Raster:
    stored = _read_shape(header)
    shape = to_spatial_shape(stored if channel is None else _select_channel_shape(stored, channel, path), path)
    kind = _read_voxel_type(header, path)
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise VolumeError(f"{path.name} has colour or complex voxels. Provide a volume with one grey value per voxel.")
    offset = int(header.get_data_offset())
    remarks: tuple[str, ...] = ()
    is_single = find_image_suffix(path.name) in NIFTI_SUFFIXES
    if offset == 0 and is_single:
        offset = int(header.sizeof_hdr) + 4
        remarks = ("the header does not state where the voxels begin, so they are read directly after it",)
    if not (header.sizeof_hdr if is_single else 0) <= offset <= MAX_OFFSET:
        raise VolumeError(
            f"The NIfTI header of {path.name} is damaged (its voxels begin at byte {offset}). Copy or convert it again."
        )
    remarks += _repair_intercept(header)
    slope, intercept = header.get_slope_inter()
    is_nifti = isinstance(header, nib.Nifti1Header)
    unit_note = convert_to_mm(header) if is_nifti else None
    grid, notes = _build_nifti_grid(header, shape, path) if is_nifti else (_build_analyze_grid(header, shape, path), ())
    volume_bytes = math.prod(shape) * kind.itemsize
    return Raster(
        path,
        data,
        grid,
        kind,
        detect_encoding(data),
        skip=offset,
        before=(channel or 0) * volume_bytes,
        behind=0 if channel is None else (stored[3] - 1 - channel) * volume_bytes,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        is_exact=False,
        notes=(*((unit_note,) if unit_note else ()), *notes, *remarks),
    )


def _repair_intercept(header: Any) -> tuple[str, ...]:
    """Set an intercept that is not finite to 0, because the model ignores a constant difference of grey values.

    Without a finite slope, the header states no scaling, and NaN is the usual intercept.
    """
    if "scl_inter" not in header or np.isfinite(header["scl_inter"]):
        return ()
    if not np.isfinite(header["scl_slope"]) or header["scl_slope"] == 0:
        return ()
    header["scl_inter"] = 0
    return ("the intercept of the grey values in the header is not finite, and is read as 0",)


def _read_shape(header: Any) -> tuple[int, ...]:
    """Return the shape of the header, with one axis for volumes. ITK stores components along the fifth axis."""
    axes = int(header["dim"][0])
    if not 0 <= axes <= 7:
        raise ValueError(f"it has {axes} axes")
    shape = header.get_data_shape()
    behind = [side or 1 for side in shape[3:]]  # some programs write 0 for an axis that does not exist
    if sum(side > 1 for side in behind) > 1:
        return (*shape[:3], *behind)
    return (*shape[:3], math.prod(behind)) if behind else tuple(shape)


def _read_voxel_type(header: Any, path: Path) -> np.dtype[Any]:
    try:
        voxel_type: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise VolumeError(
            f"{path.name} has the unsupported voxel type ({int(header['datatype'])}). Convert it to integers or floats."
        ) from error
    return voxel_type


def _select_channel_shape(shape: tuple[int, ...], channel: int, path: Path) -> tuple[int, ...]:
    if len(shape) != 4 or channel >= shape[3]:
        count = shape[3] if len(shape) == 4 else 1
        raise VolumeError(f"{path.name} has {count} volumes, so there is no volume {channel} (counted from 0).")
    if math.prod(shape) > _MAX_FILE_VOXELS:
        raise VolumeError(
            f"{path.name} has {math.prod(shape):,} voxels in all its volumes, more than the {_MAX_FILE_VOXELS:,} "
            "allowed. Split it into one file per sequence."
        )
    return shape[:3]


def _build_analyze_grid(header: Any, shape: tuple[int, int, int], path: Path) -> Grid:
    """Return the grid of an Analyze header, which gives voxel sizes but no orientation."""
    check_spacing(header["pixdim"][1:4].tolist(), path)
    affine = np.asarray(header.get_best_affine(), np.float64)
    check_affine(affine, path)
    return Grid(shape, affine, sform_code=0, qform_code=0)


def _build_nifti_grid(header: Any, shape: tuple[int, int, int], path: Path) -> tuple[Grid, tuple[str, ...]]:
    """Return the grid by the sform, else the qform, else the spacing, and notes about repairs.

    An invalid matrix is ignored if the other one is valid. The spacing only matters without a valid sform.
    """
    sizes, notes = _repair_spacing(header)
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    sform, qform = np.asarray(header.get_sform(), np.float64), _read_qform(header)
    if sform_code > 0 and is_usable_affine(sform):
        affine = sform
        if not is_plausible_spacing(sizes) or notes:
            notes = ["the voxel spacing of the header is invalid, so the spacing of the sform is used"]
        if qform_code > 0 and qform is None:
            qform_code = 0
            notes = notes or ["the qform of the header is invalid, so the sform is used"]
    elif qform_code > 0 and qform is not None:
        affine = qform
        if sform_code > 0:
            sform, sform_code = np.full((4, 4), np.nan), 0
            notes.append("the sform of the header is invalid, so the qform is used")
    else:
        check_spacing(sizes, path)
        if sform_code > 0:
            check_affine(sform, path)
        affine = np.asarray(header.get_qform() if qform_code > 0 else header.get_base_affine(), np.float64)
        check_affine(affine, path)
    finite_sform = sform if np.isfinite(sform).all() else None
    return Grid(shape, affine, sform_code=sform_code, qform_code=qform_code, sform=finite_sform, qform=qform), tuple(
        notes
    )


def _repair_spacing(header: Any) -> tuple[list[float], list[str]]:
    """Return the voxel sizes with negative signs corrected in the header, and notes about that."""
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1  # the standard treats all other values like this
    sizes = np.asarray(header["pixdim"][1:4], np.float64)
    if not (sizes < 0).any():
        return sizes.tolist(), []
    header["pixdim"][1:4] = np.abs(sizes)
    return np.abs(sizes).tolist(), ["the voxel spacing of the header is negative, and its sign is ignored"]


def _read_qform(header: Any) -> npt.NDArray[np.float64] | None:
    """Return the header's qform, or None if it cannot be computed or written to the results."""
    try:
        qform = np.asarray(header.get_qform(), np.float64)
    except (HeaderDataError, ValueError):
        return None
    return qform if is_usable_affine(qform) else None
