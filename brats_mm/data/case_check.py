"""A look at every case before training starts, so that all that is wrong is said at once."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError

from brats_mm.data.datalist import Item, resolved_item, section_entries
from brats_mm.data.transforms import AFFINE_TOLERANCE_MM, region_masks, relabelled
from brats_mm.errors import CaseError, InputError

logger = logging.getLogger(__name__)

THREADS = 4
"""Cases looked at side by side: most of the time goes into waiting for the disk and unpacking."""


def check_cases(
    dataset_dir: Path | str,
    datalist: Path | str,
    *,
    sections: Sequence[str] = ("training", "validation"),
    needs: Sequence[str] = (),
) -> int:
    """Look at the headers of all sequences and at the label maps of all cases that a training would use.

    A case is at fault when a file is absent or unreadable, its files do not lie on one grid, or its label map is
    absent or has values that are no labels. Voxels of sequences are judged later, when they are loaded.

    Args:
        dataset_dir: where the list's relative paths and case names are looked up.
        datalist: see `datalist.training_items`.
        sections: of the list.
        needs: modalities without which a case is left out, unchecked.

    Returns:
        How many cases were looked at.

    Raises:
        CaseError: names every faulty case, with what is wrong.
        OptionError: there is no such section name.
    """
    root = Path(dataset_dir).expanduser()
    entries = [entry for section in sections for entry in section_entries(Path(datalist).expanduser(), section)]
    with ThreadPoolExecutor(THREADS) as pool:
        faults = [fault for fault in pool.map(partial(_entry_fault, root=root, needs=tuple(needs)), entries) if fault]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        message = (
            f"{len(faults)} of the {len(entries)} cases of {datalist} cannot be trained on:\n{listed}\n"
            "Mend them or take them out of the list. No training was started."
        )
        raise CaseError(message)
    logger.info("All %d cases of %s were looked at; none is at fault.", len(entries), datalist)
    return len(entries)


def _entry_fault(entry: Any, root: Path, needs: Sequence[str]) -> str | None:
    """What is wrong with an entry of a list; None when nothing is."""
    name = entry if isinstance(entry, str) else entry.get("name", "a case")
    try:
        item = resolved_item(entry, root)
    except (InputError, KeyError, ValueError) as error:
        return f"{name}: {error}"
    if not all(item["image"].get(modality) for modality in needs):
        return None
    found = "; ".join(_item_faults(item))
    return f"{item['name']}: {found}" if found else None


def _item_faults(item: Item) -> Iterator[str]:
    if not item["image"]:
        yield "it has no sequence"
    if "label" not in item:
        yield "it has no label map"
    grids: list[tuple[str, Any]] = []
    for path in dict.fromkeys([*item["image"].values(), *([item["label"]] if "label" in item else [])]):
        image, fault = _opened(Path(path), _axes_of(item, path))
        if fault:
            yield fault
            continue
        grids.append((Path(path).name, image))
        if item.get("volumes") and path != item.get("label") and image.shape[3] <= max(item["volumes"].values()):
            yield f"{Path(path).name} has {image.shape[3]} volumes, too few for its sequences"
        if path == item.get("label") and (unknown := _label_fault(item, image)):
            yield unknown
    for name, image in grids[1:]:
        if not _same_grid(image, grids[0][1]):
            yield f"{name} does not lie on the grid of {grids[0][0]}"


def _axes_of(item: Item, path: str) -> int:
    """How many axes a file has: four where the sequences are in one file."""
    return 4 if "volumes" in item and path != item.get("label") else 3


def _opened(path: Path, axes: int) -> tuple[Any, str | None]:
    """The image with its header read, or what is wrong with it."""
    if not path.is_file():
        return None, f"{path} does not exist"
    try:
        image: Any = nib.load(path)
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        return None, f"{path.name} cannot be read ({error})"
    if len(image.shape) != axes:
        return None, f"{path.name} has {len(image.shape)} axes instead of {axes}"
    return image, None


def _label_fault(item: Item, image: Any) -> str | None:
    try:
        values = np.unique(np.asanyarray(image.dataobj))
        labels = relabelled(torch.as_tensor(values.astype(np.float32)).reshape(-1, 1, 1), item.get("label_values", {}))
        region_masks(labels, item.get("label_convention"))
    except (InputError, OSError, EOFError, ValueError) as error:
        return f"{Path(item['label']).name}: {error}"
    return None


def _same_grid(image: Any, first: Any) -> bool:
    return image.shape[:3] == first.shape[:3] and bool(np.abs(image.affine - first.affine).max() <= AFFINE_TOLERANCE_MM)
