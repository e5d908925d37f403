"""Sort the files of a case into sequences by name: BraTS, CaPTk, BIDS, UPENN-GBM, UCSF-PDGM, nnU-Net and clinics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brats_mm.domain.modality import Modality
from brats_mm.domain.sequence_names import (
    CHANNEL_NUMBERS,
    MSD_CHANNELS,
    ImageName,
    Reading,
    find_modalities,
    read_image_names,
)
from brats_mm.io.suffixes import strip_image_suffix


@dataclass(frozen=True)
class Recognised:
    """Files of a folder sorted by the meaning of their names.

    Attributes:
        candidates: matching files of each sequence.
        ignored: reason for each ignored file.
        unclear: possible sequences by file.
        doubts: another possible meaning of the name, by unclear file.
        notes: notes on the choice.
    """

    candidates: Mapping[Modality, Sequence[Path]]
    ignored: Mapping[Path, str]
    unclear: Mapping[Path, Sequence[Modality]] = field(default_factory=dict)
    doubts: Mapping[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def recognise(images: Sequence[Path], folder: Path) -> Recognised:
    """Sort image files into sequences, labels and others by their names (see `domain.sequence_names`)."""
    names = [
        ImageName(strip_image_suffix(image.name), "" if image.parent == folder else image.parent.name)
        for image in images
    ]
    readings = read_image_names(names, folder.name)
    order, notes = _find_channels(readings, folder)
    candidates: dict[Modality, list[Path]] = {}
    ignored: dict[Path, str] = {}
    unclear: dict[Path, Sequence[Modality]] = {}
    doubts: dict[Path, str] = {}
    for image, reading in zip(images, readings, strict=True):
        modalities = (order[reading.number],) if reading.number in order else reading.modalities
        if reading.is_label:
            ignored[image] = "its name marks a label map"
        elif reading.is_other:
            ignored[image] = f"its name marks another kind of image or a result ({reading.kind}: {reading.kind_word!r})"
        elif not modalities:
            ignored[image] = "its name contains no sequence"
        elif reading.doubt or len(modalities) > 1:
            unclear[image] = modalities
            doubts |= {image: reading.doubt} if reading.doubt else {}
        else:
            candidates.setdefault(modalities[0], []).append(image)
    copies = {image: reading.copy for image, reading in zip(images, readings, strict=True) if reading.copy}
    notes = (*(notes if candidates else ()), *_prefer_originals(candidates, copies, ignored))
    return Recognised(candidates, ignored, unclear, doubts, notes)


def _prefer_originals(
    candidates: dict[Modality, list[Path]], copies: Mapping[Path, str], ignored: dict[Path, str]
) -> tuple[str, ...]:
    """Drop annotated and reformatted copies of existing originals. Return a note for each remaining copy."""
    notes = []
    for modality, files in candidates.items():
        originals = [file for file in files if file not in copies]
        if originals:
            for file in files:
                if file in copies:
                    ignored[file] = f"its name marks a copy ({copies[file]!r}) of {originals[0].name}"
            candidates[modality] = originals
        else:
            notes += [f"{modality.label}: the only file is marked as a copy ({copies[file]!r})" for file in files[:1]]
    return tuple(notes)


_MAX_DESCRIPTION_BYTES = 4 << 20
"""Maximum size of a `dataset.json` in bytes, four times that of a list with 10,000 cases."""


def _find_channels(readings: Sequence[Reading], folder: Path) -> tuple[dict[str, Modality], tuple[str, ...]]:
    """Return the sequence of each channel number, if files are numbered."""
    if not any(reading.number for reading in readings):
        return {}, ()
    order, source = read_described_channels(folder)
    if not order:
        order, source = dict(zip(CHANNEL_NUMBERS, MSD_CHANNELS, strict=True)), "the Medical Segmentation Decathlon"
    order_text = ", ".join(f"{number} {modality.label}" for number, modality in sorted(order.items()))
    return order, (f"the channel order is from {source}: {order_text}",)


def read_described_channels(folder: Path) -> tuple[dict[str, Modality], str]:
    """Return the sequence of each channel by the `dataset.json` in a folder or up to two above, and its source."""
    for parent in (folder, *folder.resolve().parents[:2]):
        names = _read_dataset_names(parent / "dataset.json")
        if names:
            return names, f"{parent.name}/dataset.json"
    return {}, ""


def _read_dataset_names(path: Path) -> dict[str, Modality]:
    """Return sequences by channel number from an nnU-Net or Decathlon `dataset.json`, or nothing if it is unusable."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_DESCRIPTION_BYTES:
            return {}
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    names = content.get("channel_names") or content.get("modality") if isinstance(content, dict) else None
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    order = {}
    for number, name in pairs:
        modalities = find_modalities(str(name))
        if len(modalities) == 1 and str(number).isdecimal():
            order[f"{int(number):04d}"] = modalities.pop()
    return order
