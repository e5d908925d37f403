"""Four-dimensional NIfTI files with all sequences of a case as volumes, as in the Decathlon's Task01.

Each volume has a path: `BRATS_001.nii.gz#2` is the third volume.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.sequence_names import MSD_CHANNELS, find_modalities
from brats_mm.errors import CaseError, OptionError
from brats_mm.io.suffixes import NIFTI_SUFFIXES, strip_image_suffix

if TYPE_CHECKING:
    from brats_mm.domain.case import CaseFiles

DECATHLON = "decathlon"
"""Name of the channel order of the Medical Segmentation Decathlon's brain tumour task."""
_CHANNEL = re.compile(rf"(.+(?:{'|'.join(map(re.escape, NIFTI_SUFFIXES))}))#(\d+)", re.IGNORECASE)


def make_channel_path(path: Path, index: int) -> Path:
    """Return the path of one volume of a file, counted from 0."""
    return path.with_name(f"{path.name}#{index}")


def split_channel(path: Path) -> tuple[Path, int | None]:
    """Split a path into its file and volume index, which is None for a plain file."""
    match = _CHANNEL.fullmatch(path.name)
    return (path, None) if match is None or path.exists() else (path.with_name(match[1]), int(match[2]))


def parse_order(text: str) -> tuple[Modality, ...]:
    """Read a channel order: `decathlon`, or sequences separated by commas.

    Raises:
        OptionError: a sequence is unknown or named twice.
    """
    if text.strip().lower() == DECATHLON:
        return MSD_CHANNELS
    candidates = [find_modalities(part) for part in text.split(",")]
    order = tuple(next(iter(modalities)) for modalities in candidates if len(modalities) == 1)
    if len(order) != len(candidates) or len(set(order)) != len(order):
        names = ",".join(modality.value for modality in MODALITIES)
        raise OptionError(
            f"The channel order {text!r} must name each sequence once, separated by commas, for example {names}. "
            f"For the order of the Decathlon's Task01, give {DECATHLON}."
        )
    return order


def build_channel_case(path: Path, volumes: int, order: Sequence[Modality], source: str) -> "CaseFiles":
    """Return a case whose sequences are the volumes of a four-dimensional file.

    Raises:
        CaseError: the numbers of sequences and volumes differ.
    """
    if len(order) != volumes:
        raise CaseError(
            f"{path.name} has {volumes} volumes, but the order from {source} has {len(order)}: "
            f"{', '.join(modality.label for modality in order)}. Name each volume, for example "
            "--channels flair,t1,t1ce,t2."
        )
    from brats_mm.domain.case import CaseFiles  # imports numpy, which would slow down the checks of a request

    channels = {
        modality: str(make_channel_path(path, order.index(modality))) for modality in MODALITIES if modality in order
    }
    order_text = ", ".join(f"{index} {modality.label}" for index, modality in enumerate(order))
    return CaseFiles(
        strip_image_suffix(path.name),
        channels,
        notes=(f"the channel order of {path.name} is from {source}: {order_text}",),
    )


def make_unknown_order_error(path: Path, volumes: int) -> CaseError:
    """Return the error for a four-dimensional file without a known channel order."""
    return CaseError(
        f"{path.name} has {volumes} volumes in one file, but their sequences are unknown. Specify them, for example "
        f"--channels flair,t1,t1ce,t2, or --channels {DECATHLON} for the order of the Decathlon's Task01. Or keep the "
        "dataset's dataset.json next to the file or up to two folders above."
    )
