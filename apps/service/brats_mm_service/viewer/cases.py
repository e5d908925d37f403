"""Cases on the server that viewers open instead of uploading: subfolders and volumes of one folder.

The folder is only read, and its location is not revealed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.modality import Modality
from brats_mm.domain.sequence_names import find_modalities, is_label_name
from brats_mm.errors import InputError
from brats_mm.io.recognise import recognise
from brats_mm.io.suffixes import find_image_suffix, strip_image_suffix


@dataclass(frozen=True)
class StoredCase:
    """A case on the server, or an upload that is kept.

    Attributes:
        id: ID for viewers. Of a server case, the name of the folder, or of the file without its suffix.
        sequences: file of each sequence, in channel order.
        unsorted: a single volume whose name does not contain its sequence.
        notes: ignored files, and how sequences were recognised.
    """

    id: str
    sequences: Mapping[Modality, Path]
    unsorted: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main_file(self) -> Path:
        """Main file, to show in viewers."""
        path = next(iter(self.sequences.values()), self.unsorted)
        assert path is not None, "a case has at least one file"
        return path


class ServerCases:
    """The cases in a folder. There are none if no folder is set."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def ids(self) -> list[str]:
        """Return the sorted IDs of all cases."""
        return sorted(self._find_paths())

    def get(self, case_id: str) -> StoredCase | None:
        """Return a case by its ID. IDs are names in the folder, so no ID refers to a path outside."""
        path = self._find_paths().get(case_id)
        if path is None:
            return None
        return _from_folder(case_id, path) if path.is_dir() else _from_file(case_id, path)

    def all(self) -> list[StoredCase]:
        """Return the cases that can be segmented."""
        return [case for case in map(self.get, self.ids()) if case is not None]

    def _find_paths(self) -> dict[str, Path]:
        if self._folder is None or not self._folder.is_dir():
            return {}
        cases: dict[str, Path] = {}
        for path in self._folder.iterdir():
            if path.name.startswith("."):
                continue
            if path.is_dir():
                cases[path.name] = path
            elif find_image_suffix(path.name) and not is_label_name(strip_image_suffix(path.name)):
                cases.setdefault(strip_image_suffix(path.name), path)
        return cases


def _from_folder(case_id: str, folder: Path) -> StoredCase | None:
    try:
        case = recognise(folder)
    except InputError:
        return None
    sequences = {modality: Path(case.paths[modality]) for modality in sort_modalities(case.paths)}
    return StoredCase(case_id, sequences, notes={"ignored": dict(case.ignored), "notes": list(case.notes)})


def _from_file(case_id: str, file: Path) -> StoredCase:
    modalities = find_modalities(case_id)
    return StoredCase(case_id, {modalities.pop(): file}) if len(modalities) == 1 else StoredCase(case_id, {}, file)
