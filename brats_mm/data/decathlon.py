"""Brain tumour task of the Medical Segmentation Decathlon: one four-dimensional file per case, and its own labels.

Its `dataset.json` names the sequences of a file's volumes (`modality`: 0 FLAIR, 1 T1w, 2 t1gd, 3 T2w) and the meaning
of label values (`labels`: 1 oedema, 2 non-enhancing, 3 enhancing), which differs from BraTS.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_mm.domain.label_scheme import SCHEMES, LabelScheme, find_scheme
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Compartment
from brats_mm.domain.sequence_names import find_modalities
from brats_mm.errors import CaseError

DESCRIPTION = "dataset.json"

VOLUME_SUFFIXES = (".nii.gz", ".nii")


def is_decathlon(root: Path) -> bool:
    """Return whether a folder has a `dataset.json` that lists whole cases as existing files.

    nnU-Net's first version wrote such lists too, but with names without channel numbers, which match no file.
    """
    try:
        content = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    entries = content.get("training") if isinstance(content, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    image = first.get("image") if isinstance(first, dict) else None
    return isinstance(image, str) and (root / image).is_file()


def add_volumes(entry: Any, content: Mapping[str, Any], path: Path) -> Any:
    """Complete an entry of a list whose image is a single file with the positions of the sequences.

    Adds `volumes`, positions on the fourth axis by sequence, and `label_scheme`. Other entries are unchanged.

    Raises:
        CaseError: the list does not name the sequences of the volumes, or the meaning of its labels.
    """
    if isinstance(entry, str) and entry.endswith(VOLUME_SUFFIXES):
        entry = {"image": entry}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("image"), str):
        return entry
    file = entry["image"]
    volumes = {modality.value: int(number) for number, modality in read_channels(content, path).items()}
    item = {"name": Path(file).name.split(".nii")[0], **entry, "image": dict.fromkeys(volumes, file)}
    if len(volumes) > 1:
        item["volumes"] = volumes
    if entry.get("label"):
        item["label_scheme"] = find_label_scheme(content.get("labels") or {}, path).value
    return item


def read_channels(content: Mapping[str, Any], path: Path) -> dict[str, Modality]:
    """Return the sequence of each channel number of a `dataset.json` (`channel_names`, or `modality` in older ones).

    Raises:
        CaseError: the sequence of a channel is not stated.
    """
    names = content.get("channel_names") or content.get("modality") or {}
    candidates = {number: find_modalities(str(name)) for number, name in names.items()}
    ambiguous = [f"{number} ({names[number]})" for number, modalities in candidates.items() if len(modalities) != 1]
    if ambiguous or not candidates:
        raise CaseError(
            f"{path} does not name the sequence of each channel: {', '.join(ambiguous) or 'it has no channel_names'}. "
            'Add, for example, "channel_names": {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"}.'
        )
    return {number: next(iter(modalities)) for number, modalities in candidates.items()}


def find_label_scheme(labels: Mapping[str, Any], path: Path) -> LabelScheme:
    """Find the label scheme that a `dataset.json` describes.

    Args:
        labels: names by value (Decathlon), values by name, or several values of nested regions by name (nnU-Net).
        path: path of the description, for messages.

    Raises:
        CaseError: the description does not match a known scheme.
    """
    values = _parse_values_by_name(labels)
    parts: dict[int, Compartment] = {}
    for name in sorted(values, key=lambda name: len(values[name])):  # of nested regions, the inner ones first
        compartment = _parse_compartment(name)
        if compartment is not None:
            parts = {**dict.fromkeys(values[name], compartment), **parts}
    scheme = find_scheme(parts)
    if scheme is None:
        raise CaseError(
            f"{path} does not state which label is oedema, which the necrotic or non-enhancing core, and which "
            "enhancing "
            'tumour. Add, for example, "labels": {"0": "background", "1": "edema", "2": "non-enhancing", "3": '
            f'"enhancing"}}, in the order of one of {SCHEMES}.'
        )
    cavity = scheme is LabelScheme.BRATS2023 and any("cavity" in name for name in values)
    return LabelScheme.BRATS2024_POST_TREATMENT if cavity else scheme


def _parse_values_by_name(labels: Mapping[str, Any]) -> dict[str, frozenset[int]]:
    """Return the label values by lower-case name from either layout of `dataset.json`."""
    is_decathlon = all(key.isdigit() for key in labels)
    entries = [(name, value) for value, name in labels.items()] if is_decathlon else labels.items()
    return {
        str(name).lower(): frozenset(int(number) for number in (value if isinstance(value, list) else [value]))
        for name, value in entries
    }


def _parse_compartment(name: str) -> Compartment | None:
    """Return the compartment of a label name. A whole tumour minus inner regions is oedema, and a core is necrosis."""
    if any(keyword in name for keyword in ("edema", "oedema", "whole", "flair")):
        return Compartment.OEDEMA
    if any(keyword in name for keyword in ("non", "necro", "ncr", "core", "cyst")):
        return Compartment.NECROSIS
    return Compartment.ENHANCING if "enhanc" in name else None
