"""Convert NIfTI headers in metres or micrometres to millimetres. nibabel ignores the unit of a header."""

from typing import Any

import nibabel as nib
import numpy as np

from brats_mm.domain.spacing import is_plausible_spacing

_UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}
"""Name and length in millimetres of each unit, by its NIfTI code. Other headers are in millimetres."""

_SPATIAL_BITS = 7


def convert_to_mm(header: Any) -> str | None:
    """Convert the lengths of a NIfTI header to millimetres, in place.

    Some programs write the wrong unit. If only the unconverted lengths are plausible for a head, they are kept.

    Returns:
        A note about the unit, or None for a header in millimetres.
    """
    scale, note = _find_scale(header, _read_spacings(header))
    if scale != 1:
        for field in ("pixdim", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"):
            part = slice(1, 4) if field == "pixdim" else ...
            header[field][part] = np.asarray(header[field][part], np.float64) * scale
        header.set_xyzt_units(xyz="mm", t=header.get_xyzt_units()[1])
    return note


def convert_image_to_mm(image: Any) -> Any:
    """Return a nibabel image with its header and affine in millimetres. Images of other formats are unchanged."""
    if not isinstance(image, nib.Nifti1Pair):
        return image
    header = image.header.copy()
    if convert_to_mm(header) is None:
        return image
    return type(image)(image.dataobj, header.get_best_affine(), header)


def convert_affine_to_mm(affine: Any, header: Any) -> tuple[Any, str | None]:
    """Return an affine in millimetres, and a note about the unit.

    Args:
        affine: (4, 4) in the unit of the header.
        header: fields of a NIfTI header. Without `xyzt_units`, the affine is in millimetres.
    """
    if "xyzt_units" not in header:
        return affine, None
    matrix = np.array(affine, np.float64)
    scale, note = _find_scale(header, [np.linalg.norm(matrix[:3, :3], axis=0)])
    matrix[:3] *= scale
    return matrix, note


def _read_spacings(header: Any) -> list[Any]:
    """Return the spacings by the header's sform, if it is used, and by its pixdim."""
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], np.float64))
    if int(header["sform_code"]) <= 0:
        return [pixdim]
    return [np.linalg.norm(np.asarray(header.get_sform(), np.float64)[:3, :3], axis=0), pixdim]


def _find_scale(header: Any, spacings: list[Any]) -> tuple[float, str | None]:
    """Return the length of the header's unit in millimetres, and a note. Spacings are tried in order."""
    unit = _UNITS.get(int(np.asarray(header["xyzt_units"])) & _SPATIAL_BITS)
    if unit is None:
        return 1.0, None
    name, scale = unit
    for spacing in spacings:
        if is_plausible_spacing(spacing * scale):
            return scale, f"the lengths of the header are in {name} and are converted to millimetres"
        if is_plausible_spacing(spacing):
            text = " x ".join(f"{value:g}" for value in spacing)
            return 1.0, (
                f"the unit of the header is {name}, but voxels of {text} {name} are impossible, so the lengths are "
                "read as millimetres"
            )
    return 1.0, None
