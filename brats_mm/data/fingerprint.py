"""Fingerprint of a data set: its cases, sequences, voxel sizes, shapes, label volumes and intensity ranges."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from brats_mm.data.datalist import Item
from brats_mm.data.transforms import LoadSequencesd, build_region_masks, read_grid
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS

THREADS = 4
"""Number of cases to read in parallel, because most time is spent on disk access and decompression."""

PERCENTILES = (0.5, 50.0, 99.5)
"""Percentiles of the intensities of a sequence outside the background."""


@dataclass(frozen=True)
class CaseFacts:
    """Measurements of one case.

    Attributes:
        shape: voxels along each axis.
        spacing_mm: voxel size along each axis in millimetres.
        intensities: `PERCENTILES` of the foreground of each available sequence.
        volumes_ml: volume of each region in millilitres.
        label_scheme: label scheme of the reference.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    intensities: dict[str, tuple[float, ...]]
    volumes_ml: dict[str, float]
    label_scheme: str


def measure_case(item: Item) -> CaseFacts:
    """Read one labelled case and measure it."""
    loaded = LoadSequencesd()(dict(item.items()))
    grid = read_grid(loaded["image"])
    intensities = {
        modality.value: _compute_percentiles(loaded["image"][modality.channel].numpy())
        for modality in MODALITIES
        if bool(loaded["available"][modality.channel])
    }
    masks = build_region_masks(torch.as_tensor(loaded["label"][0]), item.get("label_scheme"), name=item["name"])
    volumes = {region.value: float(masks[region.channel].sum()) * grid.voxel_ml for region in REGIONS}
    return CaseFacts(grid.shape, grid.spacing_mm, intensities, volumes, str(item.get("label_scheme") or "detected"))


def compute_fingerprint(items: Sequence[Item], *, on_case: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Measure all cases of a data set.

    Args:
        items: labelled cases from `datalist.load_training_items`.
        on_case: called after each case with the number of measured cases and the total.

    Returns:
        See `summarise`.

    Raises:
        InputError: a case cannot be read.
    """
    facts: list[CaseFacts] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for case in pool.map(measure_case, items):
            facts.append(case)
            if on_case is not None:
                on_case(len(facts), len(items))
    return summarise(facts)


def summarise(facts: Sequence[CaseFacts]) -> dict[str, Any]:
    """Summarise the measurements of all cases.

    Returns:
        Plain values for JSON. `min`, `median` and `max` are over cases. `present` counts the cases that have a region,
        and the volumes are over these cases. Intensities are percentiles of the voxels outside the background.
    """
    names = [modality.value for modality in MODALITIES]
    return {
        "cases": len(facts),
        "cases_with_sequence": {name: sum(name in case.intensities for case in facts) for name in names},
        "cases_by_number_of_sequences": _count_values(len(case.intensities) for case in facts),
        "label_schemes": _count_values(case.label_scheme for case in facts),
        "shape": _describe_spread([case.shape for case in facts]),
        "voxel_mm": _describe_spread([case.spacing_mm for case in facts]),
        "volumes_ml": {
            region.value: _describe_volumes([case.volumes_ml[region.value] for case in facts]) for region in REGIONS
        },
        "intensities": {
            name: _describe_intensities([case.intensities[name] for case in facts if name in case.intensities])
            for name in names
            if any(name in case.intensities for case in facts)
        },
    }


def _compute_percentiles(channel: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in np.percentile(channel[channel != 0], PERCENTILES))


def _count_values(values: Iterable[int | str]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items(), key=lambda pair: str(pair[0]))}


def _describe_spread(values: Sequence[Any]) -> dict[str, Any]:
    """Return the minimum, median and maximum over cases, for each component."""
    stacked = np.asarray(values, np.float64)
    return {
        name: np.round(measure(stacked, axis=0), 4).tolist()
        for name, measure in (("min", np.min), ("median", np.median), ("max", np.max))
    }


def _describe_volumes(values: Sequence[float]) -> dict[str, Any]:
    present = [value for value in values if value > 0]
    return {"present": len(present), **(_describe_spread(present) if present else {})}


def _describe_intensities(values: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    return {
        f"p{share:g}": _describe_spread([percentiles[index] for percentiles in values])
        for index, share in enumerate(PERCENTILES)
    }
