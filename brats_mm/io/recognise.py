"""Recognise the sequence of each file, before heavy libraries are imported."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from brats_mm.domain.case import CaseFiles
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import BidsFilter
from brats_mm.domain.sequence_names import parse_modality
from brats_mm.errors import OptionError
from brats_mm.io.case_files import build_explicit_case, find_bids_case, find_case, find_channels, is_four_dimensional

NO_DATASET = "participant, session, run and acquisition need a BIDS dataset. Provide its folder or zip, or omit them."

FilesSource = Path | str | Mapping[Modality, Path] | Mapping[str, Path] | Mapping[str, str] | CaseFiles
"""A case folder, a mapping from sequence to file, or files already recognised."""


def recognise(
    source: FilesSource, *, channels: Sequence[Modality] | None = None, selection: BidsFilter | None = None
) -> CaseFiles:
    """Find the files of a case without reading voxels.

    Args:
        source: a case folder, a four-dimensional NIfTI file, or a mapping from sequence (`t1`, `t1ce`, `t2`, `flair`)
            to file.
        channels: sequence of each volume of a four-dimensional file. Defaults to the dataset's `dataset.json`.
        selection: selection from a BIDS dataset, if `source` is one.

    Raises:
        CaseError: no sequence was found, or names are ambiguous.
        OptionError: the mapping names an unknown sequence, or the filter is set, but the source is not a BIDS dataset.
    """
    if selection is not None and not selection.is_empty:
        if not isinstance(source, Path | str) or not Path(source).is_dir():
            raise OptionError(NO_DATASET)
        return find_bids_case(Path(source), selection)
    if isinstance(source, CaseFiles):
        return source
    if isinstance(source, Mapping):
        return build_explicit_case({parse_modality(name): Path(path) for name, path in source.items()})
    path = Path(source)
    return find_channels(path, channels) if is_four_dimensional(path) else find_case(path, channels=channels)
