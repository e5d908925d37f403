"""Tumour regions (what the network predicts) and compartments (what a label map stores), and the way between them.

Regions nest: the whole tumour holds the core, the core holds the enhancing tumour. Compartments do not overlap:
whole tumour = necrosis + oedema + enhancing, core = necrosis + enhancing.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]


class Region(str, Enum):
    """A nested tumour region. The order of the members is the channel order of logits and probabilities."""

    WT = "wt"
    TC = "tc"
    ET = "et"

    @property
    def label(self) -> str:
        """The name as people write it."""
        return {"wt": "whole tumour", "tc": "tumour core", "et": "enhancing tumour"}[self.value]

    @property
    def channel(self) -> int:
        """Position in a tensor of all regions."""
        return REGIONS.index(self)


REGIONS: tuple[Region, ...] = tuple(Region)


class Compartment(str, Enum):
    """A part of the tumour that shares no voxel with another part."""

    NECROSIS = "ncr"
    OEDEMA = "ed"
    ENHANCING = "et"


class LabelConvention(str, Enum):
    """How label maps number the compartments: enhancing tumour was 4 until BraTS 2021 and is 3 since 2023."""

    BRATS2023 = "brats2023"
    BRATS2021 = "brats2021"

    def value_of(self, compartment: Compartment) -> int:
        """The voxel value of a compartment."""
        if compartment is Compartment.ENHANCING:
            return 3 if self is LabelConvention.BRATS2023 else 4
        return 1 if compartment is Compartment.NECROSIS else 2


@dataclass(frozen=True)
class Code:
    """A coded concept: coding scheme, value and meaning."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class SegmentStyle:
    """How a compartment is named, coloured and coded in viewers and archives."""

    name: str
    colour: tuple[int, int, int]
    """Red, green, blue, 0 to 255."""
    category: Code
    type: Code


_ABNORMAL = Code("SCT", "49755003", "Morphologically Altered Structure")

BRAIN = Code("SCT", "12738006", "Brain")
"""The anatomic region of every segment."""

SEGMENT_STYLES: dict[Compartment, SegmentStyle] = {
    Compartment.NECROSIS: SegmentStyle(
        "Necrotic and non-enhancing core", (225, 87, 89), _ABNORMAL, Code("SCT", "6574001", "Necrosis")
    ),
    Compartment.OEDEMA: SegmentStyle("Peritumoural oedema", (89, 161, 79), _ABNORMAL, Code("SCT", "79654002", "Edema")),
    Compartment.ENHANCING: SegmentStyle(
        "Enhancing tumour", (242, 190, 44), _ABNORMAL, Code("NCIt", "C113842", "Enhancing Lesion")
    ),
}


def labels_from_regions(wt: Mask, tc: Mask, et: Mask, convention: LabelConvention) -> Labels:
    """Merge region masks into one label map, inner regions over outer ones (SimMLM's export rule).

    A core voxel outside the predicted whole tumour keeps its core label, so the whole tumour of the label map is the
    union of the three masks.
    """
    labels = np.zeros(wt.shape, np.uint8)
    labels[wt] = convention.value_of(Compartment.OEDEMA)
    labels[tc] = convention.value_of(Compartment.NECROSIS)
    labels[et] = convention.value_of(Compartment.ENHANCING)
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
