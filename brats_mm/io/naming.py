"""Which file of a case is which sequence, by name: BraTS 2012 to 2024, UPENN-GBM, UCSF-PDGM, nnU-Net and clinics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brats_mm.domain.modality import (
    MODALITIES,
    MSD_CHANNELS,
    Modality,
    is_label_name,
    is_other_image_name,
    modalities_in_name,
    name_tokens,
)
from brats_mm.io.nifti import image_stem

_CHANNELS = tuple(f"{number:04d}" for number in range(len(MSD_CHANNELS)))


@dataclass(frozen=True)
class Recognised:
    """What names say.

    Attributes:
        candidates: sequence -> the files whose names say it, one where all is well.
        ignored: file -> why it is not a sequence.
        unclear: file -> the sequences that its name speaks of, more than one.
        notes: how it was recognised, where that is not plain.
    """

    candidates: Mapping[Modality, Sequence[Path]]
    ignored: Mapping[Path, str]
    unclear: Mapping[Path, Sequence[Modality]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def recognise(images: Sequence[Path], folder: Path) -> Recognised:
    """Sort image files into sequences, labels and others by their names.

    What all names (and the folder's name) begin with is the case's name, and does not count if anything is left
    without it: in `T1_study_007_flair` of a folder `T1_study_007`, only `flair` speaks.
    """
    tails = _tails([name_tokens(image_stem(image.name)) for image in images], name_tokens(folder.name))
    channels, notes = _channels(images, tails, folder)
    candidates: dict[Modality, list[Path]] = {}
    ignored: dict[Path, str] = {}
    unclear: dict[Path, Sequence[Modality]] = {}
    for image, tail in zip(images, tails, strict=True):
        reason = _not_a_sequence(" ".join(tail))
        named = [channels[image]] if image in channels else _named(image, tail, folder)
        if reason is not None:
            ignored[image] = reason
        elif len(named) == 1:
            candidates.setdefault(named[0], []).append(image)
        elif named:
            unclear[image] = named
        else:
            ignored[image] = "its name does not say a sequence"
    return Recognised(candidates, ignored, unclear, notes if candidates else ())


def _not_a_sequence(tail: str) -> str | None:
    if is_label_name(tail):
        return "its name says that it holds labels"
    if is_other_image_name(tail):
        return "its name says that it is another kind of image or a result"
    return None


def _named(image: Path, tail: list[str], folder: Path) -> list[Modality]:
    """The sequences in the part of the name that sets it apart, else in the whole name, else in its sub-folder's."""
    sub_folder = "" if image.parent == folder else image.parent.name
    for stem in (" ".join(tail), image_stem(image.name), sub_folder):
        found = modalities_in_name(stem)
        if found:
            return [modality for modality in MODALITIES if modality in found]
    return []


def _tails(names: list[list[str]], folder: list[str]) -> list[list[str]]:
    """Each name's tokens without the folder's name in front and without what all names have in front."""
    tails = [tokens[len(folder) :] if tokens[: len(folder)] == folder else tokens for tokens in names]
    tails = [tail or tokens for tail, tokens in zip(tails, names, strict=True)]
    if len(tails) < 2:
        return tails
    shared = common_prefix(tails)
    return [tail[shared:] for tail in tails]


def common_prefix(names: Sequence[Sequence[str]]) -> int:
    """How many parts all names have in common from the left."""
    shared = 0
    while all(len(name) > shared for name in names) and len({name[shared] for name in names}) == 1:
        shared += 1
    return shared


def _channels(
    images: Sequence[Path], tails: list[list[str]], folder: Path
) -> tuple[dict[Path, Modality], tuple[str, ...]]:
    """Files numbered `_0000` to `_0003`, where their names say no sequence in words."""
    numbered = {
        image: tokens[-1]
        for image in images
        if (tokens := name_tokens(image_stem(image.name))) and tokens[-1] in _CHANNELS
    }
    in_words = any(modalities_in_name(image_stem(image.name)) for image in numbered)
    only_numbers = len(numbered) == len(images) == len(_CHANNELS) and all(tail[-1:] == tail for tail in tails)
    if not numbered or (in_words and not only_numbers):
        return {}, ()
    order, source = _channel_order(folder)
    known = {image: order[number] for image, number in numbered.items() if number in order}
    spelled = ", ".join(f"{number} {modality.label}" for number, modality in sorted(order.items()))
    return known, (f"channel numbers are read {source}: {spelled}",)


def _channel_order(folder: Path) -> tuple[dict[str, Modality], str]:
    for place in (folder, *folder.resolve().parents[:2]):
        names = _dataset_names(place / "dataset.json")
        if names:
            return names, f"as {place.name}/dataset.json names them"
    return dict(zip(_CHANNELS, MSD_CHANNELS, strict=True)), "in the order of the Medical Segmentation Decathlon"


def _dataset_names(path: Path) -> dict[str, Modality]:
    """Channel number -> sequence from an nnU-Net or Decathlon `dataset.json`; empty without a usable one."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    names = content.get("channel_names") or content.get("modality") if isinstance(content, dict) else None
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    order = {}
    for number, name in pairs:
        found = modalities_in_name(str(name))
        if len(found) == 1 and str(number).isdecimal():
            order[f"{int(number):04d}"] = found.pop()
    return order
