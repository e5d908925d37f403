"""Tumour regions (predicted by the network) and compartments (stored in label maps), with names and codes.

Regions nest: the whole tumour contains the core, which contains the enhancing tumour. Compartments do not overlap:
whole tumour = necrosis + oedema + enhancing, core = necrosis + enhancing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from brats_mm.errors import OptionError


class Region(str, Enum):
    """A nested tumour region. The order of the members is the channel order of logits and probabilities."""

    WT = "wt"
    TC = "tc"
    ET = "et"

    @property
    def label(self) -> str:
        """Return the name for display."""
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


COMPARTMENTS: Mapping[Region, frozenset[Compartment]] = {
    Region.WT: frozenset(Compartment),
    Region.TC: frozenset({Compartment.NECROSIS, Compartment.ENHANCING}),
    Region.ET: frozenset({Compartment.ENHANCING}),
}
"""The compartments that make up each region."""


class LabelConvention(str, Enum):
    """Numbering of compartments in label maps: enhancing tumour was 4 until BraTS 2021 and is 3 since 2023."""

    BRATS2023 = "brats2023"
    BRATS2021 = "brats2021"

    @classmethod
    def parse(cls, name: "LabelConvention | str") -> "LabelConvention":
        """Return the convention of a name such as `brats2021`.

        Raises:
            OptionError: the convention is unknown.
        """
        try:
            return cls(name)
        except ValueError as error:
            raise OptionError(
                f"The label convention is {name!r}. Choose one of {', '.join(convention.value for convention in cls)}."
            ) from error

    def value_of(self, compartment: Compartment) -> int:
        """Return the voxel value of a compartment."""
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
    """Name, colour and codes of a compartment in viewers and DICOM."""

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

REGION_COLOURS = {
    Region.WT: SEGMENT_STYLES[Compartment.OEDEMA].colour,
    Region.TC: SEGMENT_STYLES[Compartment.NECROSIS].colour,
    Region.ET: SEGMENT_STYLES[Compartment.ENHANCING].colour,
}
"""The outline of a region has the colour of its outermost compartment."""
