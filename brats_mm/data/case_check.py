"""Check every case before training starts, so that all faults are reported at once."""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.data.checked_nifti import load_checked
from brats_mm.data.datalist import Item, format_names, list_files, read_section_entries, resolve_item
from brats_mm.data.file_stamp import FileStamp, read_file_stamp
from brats_mm.data.label_maps import add_label_schemes, parse_scheme, read_label_values
from brats_mm.data.split import parse_patient
from brats_mm.data.transforms import read_grid
from brats_mm.domain.counting import format_count
from brats_mm.domain.label_scheme import find_unknown_values
from brats_mm.domain.lattice import match_lattice
from brats_mm.domain.orientation import FRONT_LEAD, compute_anterior_offset, set_directions
from brats_mm.domain.volume import Volume
from brats_mm.errors import CaseError, GridError, InputError, VolumeError

logger = logging.getLogger(__name__)

THREADS = 4
"""Number of cases to check in parallel, because most time is spent on disk access and decompression."""

SECTIONS = ("training", "validation")

Checked = tuple[str, Item | str]
"""Section of a case, and its item or the fault in its entry."""


@dataclass(frozen=True)
class Findings:
    """Findings about a case: its fault, if any, and whether front and back of the brain appear swapped."""

    name: str
    fault: str | None = None
    is_backwards: bool = False


def check_cases(
    dataset_dir: Path | str,
    datalist: Path | str,
    *,
    sections: Sequence[str] = SECTIONS,
    needs: Sequence[str] = (),
    label_scheme: str | None = None,
) -> int:
    """Read all sequences and label maps that a training run would use, and check the list.

    A case is faulty if a file is missing, truncated or unreadable, a sequence is empty or the same file as another, the
    files have different grids, or the label map is missing or has values outside its label scheme. The list is faulty
    if it names a case twice, in one section or in both. Brains whose front and back appear swapped give a warning.
    A process reads each case once, unless its entry or one of its files changes.

    Args:
        dataset_dir: folder that the list's paths and case names are relative to.
        datalist: see `datalist.load_training_items`.
        sections: sections to check.
        needs: modalities that a case must have. Other cases are skipped.
        label_scheme: see `datalist.load_training_items`.

    Returns:
        The number of checked cases.

    Raises:
        CaseError: some cases are faulty. The message names each with its fault.
        OptionError: a section or the label scheme is unknown.
    """
    root = Path(dataset_dir).expanduser()
    listed = [
        (section, _resolve_entry(entry, root))
        for section in sections
        for entry in read_section_entries(Path(datalist).expanduser(), section)
    ]
    items = [item for _, item in listed if not isinstance(item, str)]
    for item, with_scheme in zip(items, add_label_schemes(items, label_scheme), strict=True):
        item.update(with_scheme)
    with ThreadPoolExecutor(THREADS) as pool:
        findings = list(pool.map(partial(_check_case, needs=tuple(needs)), listed))
    faults = [finding.fault for finding in findings if finding.fault]
    faults += [*_find_duplicates(listed), *_find_shared_between_cases(items)]
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise CaseError(
            f"{len(faults)} of {format_count(len(listed), 'case')} of {datalist} cannot be used for training:\n"
            f"{lines}\n"
            "Fix them or remove them from the list. Training was not started."
        )
    _warn_of_shared_patients(listed)
    _warn_about_swapped_fronts([finding.name for finding in findings if finding.is_backwards])
    lacking = [item["name"] for item in items if not all(item["image"].get(modality) for modality in needs)]
    logger.info(
        "All %d cases of %s%s passed the check.%s",
        len(listed) - len(lacking),
        datalist,
        f" with {' and '.join(needs)}" if needs else "",
        f" Cases without it: {format_names(lacking)}." if lacking else "",
    )
    return len(listed)


def _resolve_entry(entry: Any, root: Path) -> Item | str:
    try:
        return dict(resolve_item(entry, root))
    except (InputError, KeyError, ValueError) as error:
        fields = entry if isinstance(entry, dict) else {"name": entry if isinstance(entry, str) else None}
        return f"{fields.get('name') or fields.get('label') or 'an unnamed case'}: {error}"


def _check_case(checked: Checked, needs: Sequence[str]) -> Findings:
    item = checked[1]
    if isinstance(item, str):
        return Findings("", item)
    name = item["name"]
    if not all(item["image"].get(modality) for modality in needs):
        return Findings(name)
    return _check_entry(json.dumps(item, sort_keys=True), tuple(map(read_file_stamp, list_files(item))))


@lru_cache(maxsize=8192)
def _check_entry(entry: str, stamps: tuple[FileStamp, ...]) -> Findings:
    """Check a case. Cached by its entry and its files, because each of the five training runs checks the same list."""
    item: Item = json.loads(entry)
    name, brains = item["name"], list[Volume]()
    faults = "; ".join(_find_item_faults(item, brains))
    return Findings(name, f"{name}: {faults}" if faults else None, any(_is_front_swapped(brain) for brain in brains))


def _is_front_swapped(brain: Volume) -> bool:
    """Return whether front and back of a skull-stripped brain appear swapped."""
    across, along, up = (brain.grid.spacing_mm[axis] for axis in brain.grid.ras_order)
    lead = compute_anterior_offset(brain.grid.to_ras(brain.foreground), (across, along, up))
    return lead is not None and lead > FRONT_LEAD


def _warn_about_swapped_fronts(names: Sequence[str]) -> None:
    if names:
        logger.warning(
            "Cases whose front and back appear swapped: %d (%s). Check them in a viewer, and correct the "
            "header of their images and label map, or remove them from the list.",
            len(names),
            format_names(names),
        )


def _find_duplicates(listed: Sequence[Checked]) -> Iterator[str]:
    sections_by_name: dict[str, list[str]] = {}
    for section, item in listed:
        if not isinstance(item, str):
            sections_by_name.setdefault(item["name"], []).append(section)
    for name, sections in sections_by_name.items():
        if len(sections) > 1:
            yield f"{name}: the list names it {len(sections)} times ({', '.join(sections)})"


def _find_shared_between_cases(items: Sequence[Item]) -> Iterator[str]:
    """Yield the cases that list a file of another case, which would be in training and validation unnoticed."""
    owners: dict[Path, str] = {}
    for item in items:
        for path in map(Path.resolve, map(Path, list_files(item))):
            owner = owners.setdefault(path, item["name"])
            if owner != item["name"]:
                yield f"{item['name']}: {path.name} is also listed for {owner}"
                break


def _warn_of_shared_patients(listed: Sequence[Checked]) -> None:
    patients = [
        {parse_patient(item["name"]) for at, item in listed if at == section and not isinstance(item, str)}
        for section in SECTIONS
    ]
    shared = sorted(patients[0] & patients[1])
    if shared:
        logger.warning(
            "%d patients have scans in both training and validation (first: %s), which biases the validation.",
            len(shared),
            shared[0],
        )


def _find_item_faults(item: Item, brains: list[Volume]) -> Iterator[str]:
    """Yield the faults of a case, and add its first readable sequence to `brains`."""
    if not item["image"]:
        yield "the case has no sequence"
    if "label" not in item:
        yield "the case has no label map"
    if not item.get("volumes"):
        yield from _find_shared_files(item)
    grids: list[tuple[str, Any]] = []
    for path in list_files(item):
        is_label = path == item.get("label")
        image, fault = _open_image(Path(path), 4 if "volumes" in item and not is_label else 3)
        if fault:
            yield fault
            continue
        grids.append((Path(path).name, image))
        yield from _find_label_faults(item) if is_label else _find_image_faults(item, path, image, brains)
    for name, image in grids[1:]:
        new = read_grid(grids[0][1])
        match = match_lattice(read_grid(image), new)
        if match is None or not match.lies_in(new.shape):
            yield f"{name} does not have the grid of {grids[0][0]}"


def _find_shared_files(item: Item) -> Iterator[str]:
    files = {modality: Path(os.path.realpath(path)) for modality, path in item["image"].items()}
    for path, count in Counter(files.values()).items():
        if count > 1:
            names = " and ".join(modality for modality, file in files.items() if file == path)
            yield f"{path.name} is listed as {names}"


def _find_image_faults(item: Item, path: str, image: Any, brains: list[Volume]) -> Iterator[str]:
    """Yield faults that only reading all voxels shows, and add a faultless image to empty `brains`."""
    volumes = item.get("volumes") or {}
    name = Path(path).name
    if volumes and image.shape[3] <= max(volumes.values()):
        yield f"{name} has {image.shape[3]} volumes, too few for its sequences"
        return
    try:
        voxels = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError) as error:
        yield f"{name} is truncated or damaged ({error})"
        return
    parts = {modality: voxels[..., index] for modality, index in volumes.items()} or {name: voxels}
    for part, values in parts.items():
        if not bool(np.isfinite(values).all()):
            yield f"{part} has NaN or infinite voxels"
        elif not bool(values.any()):
            yield f"{part} is zero everywhere. Remove the sequence from the list"
        elif not brains:
            grid = read_grid(image)
            try:
                grid = set_directions(grid, item["orientation"]) if "orientation" in item else grid
            except GridError as error:
                yield f"{part}: {error}"
            else:
                brains.append(Volume(np.asarray(values, np.float32), grid))


def _open_image(path: Path, axes: int) -> tuple[Any, str | None]:
    """Return the image with its header read, or its fault."""
    if not path.is_file():
        return None, f"{path} does not exist"
    try:
        image = load_checked(path)
    except VolumeError as error:
        return None, f"{path.name} cannot be read ({error})"
    if len(image.shape) != axes:
        return None, f"{path.name} has {len(image.shape)} axes instead of {axes}"
    return image, None


def _find_label_faults(item: Item) -> Iterator[str]:
    path = Path(item["label"])
    try:
        values = read_label_values(path)
    except InputError as error:
        yield f"{path.name}: {error}"
        return
    if not item.get("label_scheme"):  # unset only if no scheme has these values
        yield f"{path.name}: the label map has the values {', '.join(map(str, sorted(values)))}, but labels are 0 to 4"
        return
    scheme = parse_scheme(item["label_scheme"])
    unknown = find_unknown_values(values, scheme)
    if unknown:
        values_text = ", ".join(map(str, unknown))
        yield f"{path.name}: the label map holds {values_text}, which the label scheme {scheme.value} does not define"
