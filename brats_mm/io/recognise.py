"""Recognise the sequence of each file, before heavy libraries are imported."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from brats_mm.domain.case import CaseFiles
from brats_mm.domain.modality import Modality
from brats_mm.domain.sequence_names import modality_named
from brats_mm.io.case_files import explicit_case, find_case, find_channels, is_four_dimensional

FilesSource = Path | str | Mapping[Modality, Path] | Mapping[str, Path] | Mapping[str, str] | CaseFiles
"""A case folder, a mapping from sequence to file, or files already recognised."""


def recognise(source: FilesSource, *, channels: Sequence[Modality] | None = None) -> CaseFiles:
    """Find the files of a case without reading voxels.

    Args:
        source: a case folder, a four-dimensional NIfTI file, or a mapping from sequence (`t1`, `t1ce`, `t2`, `flair`)
            to file.
        channels: sequence of each volume of a four-dimensional file. Defaults to the dataset's `dataset.json`.

    Raises:
        CaseError: no sequence was found, or names are ambiguous.
        OptionError: the mapping names an unknown sequence.
    """
    if isinstance(source, CaseFiles):
        return source
    if isinstance(source, Mapping):
        return explicit_case({modality_named(name): Path(path) for name, path in source.items()})
    path = Path(source)
    return find_channels(path, channels) if is_four_dimensional(path) else find_case(path, channels=channels)
