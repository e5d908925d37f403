"""Conversion between label maps and region masks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from brats_mm.domain.label_scheme import LabelScheme, decide_schemes, find_unknown_values
from brats_mm.domain.regions import COMPARTMENTS, REGIONS, Compartment, LabelConvention, Region
from brats_mm.errors import CaseError, VolumeError

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

ROUNDING = 1e-3
"""Maximum distance of a stored value from an integer. Conversion between types changes values slightly."""


def merge_regions(wt: Mask, tc: Mask, et: Mask, convention: LabelConvention) -> Labels:
    """Merge region masks into one label map, inner regions over outer ones (SimMLM's export rule).

    A core voxel outside the predicted whole tumour keeps its core label, so the whole tumour of the label map is the
    union of the three masks.

    Args:
        wt, tc, et: region masks of equal shape.
        convention: label values to write.

    Returns:
        uint8 labels of the same shape.
    """
    labels = np.zeros_like(wt, np.uint8)  # in the masks' memory order
    for mask, compartment in ((wt, Compartment.OEDEMA), (tc, Compartment.NECROSIS), (et, Compartment.ENHANCING)):
        np.copyto(labels, np.uint8(convention.value_of(compartment)), where=mask)
    return labels


def extract_regions(labels: npt.NDArray[np.integer], convention: LabelConvention | LabelScheme) -> dict[Region, Mask]:
    """Return the region masks of a label map. Unknown values count as background."""
    parts = LabelScheme(convention.value).parts
    return {
        region: np.isin(labels, [value for value, compartment in parts.items() if compartment in COMPARTMENTS[region]])
        for region in REGIONS
    }


def extract_checked_regions(
    labels: npt.NDArray[np.integer], scheme: LabelScheme | None, name: str
) -> dict[Region, Mask]:
    """Return the region masks of a label map like `extract_regions`, and reject values outside its scheme.

    Args:
        labels: label map, any shape.
        scheme: meaning of its values. None detects it from the values.
        name: name of the file or case.

    Raises:
        VolumeError: the map has values outside its scheme, or values that match several schemes.
    """
    values = frozenset(np.unique(labels).tolist()) - {0}
    try:
        decided = scheme or decide_schemes({name: values})[name]
    except CaseError as error:
        raise VolumeError(str(error)) from error
    unknown = find_unknown_values(values, decided)
    if unknown:
        raise VolumeError(
            f"The label map of {name} has the values {', '.join(map(str, unknown[:5]))}, but the label scheme "
            f"{decided.value} allows only {', '.join(map(str, sorted(decided.values)))}. "
            "Select another scheme or correct the map."
        )
    return extract_regions(labels, decided)


def to_integer_labels(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.int16]:
    """Return label values as integers.

    Raises:
        VolumeError: values are not integers, as in a probability map, or too large.
    """
    rounded = np.round(values)
    # NaN and infinity fail every comparison. Larger values would overflow.
    off = ~((np.abs(values - rounded) <= ROUNDING) & (np.abs(rounded) <= np.iinfo(np.int16).max))
    if bool(off.any()):
        examples = ", ".join(f"{value:.6g}" for value in np.unique(values[off])[:3])
        raise VolumeError(
            f"The label map of {name} has the values {examples}, but labels are integers up to 32767. Threshold "
            "probability maps, and resample label maps with nearest-neighbour interpolation."
        )
    return np.asarray(rounded, np.int16)


def find_central_voxel(mask: Mask) -> tuple[int, int, int] | None:
    """Return the voxel of a mask nearest to its centre of gravity, or None for an empty mask."""
    inside = np.argwhere(mask)
    if not inside.size:
        return None
    x, y, z = inside[np.linalg.norm(inside - inside.mean(axis=0), axis=1).argmin()]
    return int(x), int(y), int(z)
