"""Label maps and region masks, and the way between them."""

import numpy as np
import numpy.typing as npt

from brats_mm.domain.regions import Compartment, LabelConvention, Region

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]


def labels_from_regions(wt: Mask, tc: Mask, et: Mask, convention: LabelConvention) -> Labels:
    """Merge region masks into one label map, inner regions over outer ones (SimMLM's export rule).

    A core voxel outside the predicted whole tumour keeps its core label, so the whole tumour of the label map is the
    union of the three masks.
    """
    labels = np.zeros_like(wt, np.uint8)  # in the masks' memory order
    for mask, part in ((wt, Compartment.OEDEMA), (tc, Compartment.NECROSIS), (et, Compartment.ENHANCING)):
        np.copyto(labels, np.uint8(convention.value_of(part)), where=mask)
    return labels


def regions_from_labels(labels: npt.NDArray[np.integer], convention: LabelConvention) -> dict[Region, Mask]:
    """Region masks of a label map. Values that the convention does not name count as background."""
    necrosis, oedema, enhancing = (labels == convention.value_of(part) for part in Compartment)
    core = necrosis | enhancing
    return {Region.WT: core | oedema, Region.TC: core, Region.ET: enhancing}


def convention_of(labels: npt.NDArray[np.integer]) -> LabelConvention | None:
    """The convention that a label map's values speak for; None when it has no enhancing tumour to tell by."""
    values = set(np.unique(labels).tolist())
    if 4 in values:
        return LabelConvention.BRATS2021
    return LabelConvention.BRATS2023 if 3 in values else None
