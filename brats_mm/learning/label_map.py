"""Read a corrected label map strictly: on the grid of its image, with known values, and not empty."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.label_map import Labels
from brats_mm.domain.regions import Compartment, LabelConvention
from brats_mm.domain.volume import Grid
from brats_mm.errors import OptionError, VolumeError
from brats_mm.io.reference_labels import read_labels

CONVENTION = LabelConvention.BRATS2023
_VALUES = {CONVENTION.value_of(compartment): compartment for compartment in Compartment}
_NAMES = {
    Compartment.NECROSIS: ("necrosis", "necrotic core", "ncr", "non enhancing core", "non enhancing tumor core"),
    Compartment.OEDEMA: ("edema", "oedema", "ed", "peritumoral edema", "snfh"),
    Compartment.ENHANCING: ("enhancing tumor", "enhancing tumour", "enhancing", "et"),
}
_BY_NAME = {name: compartment for compartment, names in _NAMES.items() for name in names}


def find_values_by_name(label_info: Iterable[Any]) -> dict[int, int]:
    """Return the BraTS 2023 value by stored value, from the label names of a viewer.

    Args:
        label_info: entries with `name` and `idx`, as MONAI Label's viewers send them. Background is skipped.

    Raises:
        OptionError: an entry is invalid, its name is unknown, or two entries have the same value.
    """
    values: dict[int, int] = {}
    for entry in label_info:
        name, value = (entry.get("name"), entry.get("idx")) if isinstance(entry, Mapping) else (None, None)
        if not isinstance(name, str) or not isinstance(value, int) or isinstance(value, bool):
            raise OptionError(
                "An entry of label_info has no name or no integer idx. Send entries such as {'name', 'idx'}."
            )
        normalised = name.strip().lower().replace("_", " ").replace("-", " ")
        if normalised == "background":
            continue
        if normalised not in _BY_NAME:
            accepted = ", ".join(names[0] for names in _NAMES.values())
            raise OptionError(f"Unknown label {name[:40]!r}. Use the names {accepted}.")
        if value in values:
            raise OptionError(f"Two labels have the value {value}. Give each label a different value.")
        values[value] = CONVENTION.value_of(_BY_NAME[normalised])
    return values


def read_correction(path: Path, grid: Grid, value_names: Mapping[int, int]) -> Labels:
    """Read a corrected label map on the grid of its image, with BraTS 2023 values.

    A map stored with another axis order, direction or crop is brought to the grid exactly.

    Args:
        path: the submitted file.
        grid: grid of the image.
        value_names: BraTS 2023 value by stored value, from `find_values_by_name`. Other values keep their meaning.

    Raises:
        VolumeError: the file cannot be read, has unknown values, or has no label.
        GridError: the map does not match the grid.
    """
    stored = read_labels(path, grid)
    meanings = {value: value for value in _VALUES if value not in value_names} | dict(value_names)
    present = [int(value) for value in np.unique(stored) if value != 0]
    unknown = [value for value in present if value not in meanings]
    if unknown:
        raise VolumeError(
            f"The label map has the values {', '.join(map(str, unknown[:5]))}. Use 1 for necrosis, 2 for edema and 3 "
            "for enhancing tumor."
        )
    if not present:
        raise VolumeError("The label map is empty: no voxel has a label. Draw at least one, and submit it again.")
    labels = np.zeros(stored.shape, np.uint8)
    for value in present:
        labels[stored == value] = meanings[value]
    return labels


def measure_compartment_volumes_ml(labels: Labels, voxel_ml: float) -> dict[str, float]:
    """Return the volume of each compartment of a BraTS 2023 label map in millilitres."""
    return {
        compartment.value: round(np.count_nonzero(labels == value) * voxel_ml, 4)
        for value, compartment in _VALUES.items()
    }
