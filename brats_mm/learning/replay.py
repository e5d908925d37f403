"""Labelled cases of a site that are mixed into each training run, to prevent forgetting."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import Modality
from brats_mm.domain.sequence_names import is_label_name
from brats_mm.errors import CaseError, InputError
from brats_mm.io.recognise import recognise
from brats_mm.io.suffixes import find_image_suffix, strip_image_suffix


@dataclass(frozen=True)
class ReplayCase:
    """A labelled case of the site.

    Attributes:
        name: name of its folder.
        sequences: file of each sequence, in channel order.
        label: label map with BraTS 2023 values.
    """

    name: str
    sequences: Mapping[Modality, Path]
    label: Path


def find_replay_cases(folder: Path, most: int) -> list[ReplayCase]:
    """Return the labelled cases of a folder, at most `most`, spread evenly over their names.

    Raises:
        CaseError: there is no labelled case.
    """
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    cases = [case for case in map(_read_case, folders) if case is not None]
    if not cases:
        raise CaseError(f"{folder} has no labelled case to replay. Provide a folder with one subfolder for each case.")
    step = max(1.0, len(cases) / most)
    return [cases[int(number * step)] for number in range(min(most, len(cases)))]


def _read_case(folder: Path) -> ReplayCase | None:
    images = [path for path in sorted(folder.iterdir()) if find_image_suffix(path.name)]
    labels = [path for path in images if is_label_name(strip_image_suffix(path.name))]
    if len(labels) != 1:
        return None
    try:
        case = recognise(folder)
    except InputError:
        return None
    sequences = {modality: Path(case.paths[modality]) for modality in sort_modalities(case.paths)}
    return ReplayCase(folder.name, sequences, labels[0])
