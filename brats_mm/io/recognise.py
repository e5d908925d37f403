"""Tell which file is which sequence before anything heavy is loaded."""

from collections.abc import Mapping
from pathlib import Path

from brats_mm.domain.case import CaseFiles
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import OptionError
from brats_mm.io.case import explicit_case, find_case

FilesSource = Path | str | Mapping[Modality, Path] | Mapping[str, Path] | Mapping[str, str] | CaseFiles
"""A case folder, a mapping from sequence to file, or files already recognised."""


def recognise(source: FilesSource) -> CaseFiles:
    """The files of a case, without reading a voxel.

    Args:
        source: a case folder, or a mapping from sequence (`t1`, `t1ce`, `t2`, `flair`) to file.

    Raises:
        CaseError: no sequence was found, or the names do not tell them apart.
        OptionError: a sequence of the mapping does not exist.
    """
    if isinstance(source, CaseFiles):
        return source
    if isinstance(source, Mapping):
        return explicit_case({_modality(name): Path(path) for name, path in source.items()})
    return find_case(Path(source))


def _modality(name: Modality | str) -> Modality:
    try:
        return Modality(name)
    except ValueError as error:
        names = ", ".join(modality.value for modality in MODALITIES)
        message = f"There is no sequence {name!r}; name them {names}."
        raise OptionError(message) from error
