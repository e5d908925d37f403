"""Detect images in atlas space, where volumes differ from those of the patient."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from brats_mm.domain.availability import describe
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid

_SPACES = {3: "Talairach", 4: "MNI 152"}
"""Spaces of atlases by their NIfTI code. Images of BraTS are registered rigidly, with other codes."""

_ADVICE = (
    "so volumes in mL are those of the warped head, not of the patient. A rigid registration, such as to SRI24 in "
    "BraTS, preserves volumes"
)

_IN_NAME = re.compile(r"(?<![a-z0-9])(mni(?:152)?(?:nlin\w*|lin)?|talairach)(?![a-z])", re.IGNORECASE)


def note_atlas_names(files: Iterable[Path]) -> tuple[str, ...]:
    """Return a note if a file name states an atlas space that changes the size of the head."""
    named = [path.name for path in files if _IN_NAME.search(path.name)]
    return (f"{named[0]} is in atlas space according to its name, {_ADVICE}",) if named else ()


def warn_about_atlas(grids: Mapping[Modality, Grid]) -> tuple[str, ...]:
    """Return a warning for each atlas whose space the headers state."""
    return tuple(
        f"{describe(inside)}: the header states {name} space, {_ADVICE}."
        for code, name in _SPACES.items()
        if (inside := [modality for modality, grid in grids.items() if _identify_space(grid) == code])
    )


def _identify_space(grid: Grid) -> int:
    return grid.sform_code if grid.sform_code > 0 else grid.qform_code
