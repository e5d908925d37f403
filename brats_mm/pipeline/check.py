"""Check a request before anything is loaded. Imports no heavy libraries, so mistakes are reported at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_mm.domain.availability import ALL_AVAILABLE
from brats_mm.domain.options import INTERMEDIATE_FOLDER
from brats_mm.errors import CaseError, OptionError, OutputError, VolumeError
from brats_mm.io.channels import split_channel
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.pipeline.request import SegmentRequest


def check(request: SegmentRequest) -> Path:
    """Check that the input exists and no results would be replaced.

    Returns:
        The output folder.

    Raises:
        OptionError: the input or output folder is not set.
        CaseError, VolumeError: the input does not exist.
        OutputError: the folder holds results that may not be replaced.
    """
    check_input(request.input)
    check_brain_mask(request)
    if request.output is None:
        raise OptionError("No output folder was given. Set one, or use Segmenter.predict, which writes no files.")
    check_no_overwrite(request.output, request)
    return request.output


def check_input(source: Any) -> None:
    """Check that the files of an input exist.

    Args:
        source: input of a request. Images in memory always exist.

    Raises:
        OptionError: the input is not set.
        CaseError, VolumeError: a file or folder does not exist. The message names all missing files.
    """
    if source is None:
        raise OptionError("No input was given. Provide a case folder, or files with --t1, --t1ce, --t2, --flair.")
    if _is_missing(source):
        raise CaseError(f"{source} does not exist. Provide a folder, or a zip file, of one case.")
    if isinstance(source, Mapping):
        missing = [file for file in source.values() if _is_missing(file)]
        if missing:
            raise VolumeError(" ".join(f"{path} does not exist. Check the name." for path in missing))


def check_brain_mask(request: SegmentRequest) -> None:
    """Check that the brain mask exists, if one is given.

    Raises:
        VolumeError: the brain mask does not exist.
    """
    mask = request.preprocessing.brain_mask
    if mask is not None and _is_missing(mask):
        raise VolumeError(f"The brain mask {mask} does not exist. Check the name.")


def check_no_overwrite(folder: Path, request: SegmentRequest) -> None:
    """Check that a request does not replace existing files without permission.

    Raises:
        OutputError: results would be replaced.
    """
    names = request.outputs.names(ALL_AVAILABLE)
    if request.preprocessing.keep_intermediate:
        names = (*names, INTERMEDIATE_FOLDER)
    with convert_output_errors(folder):
        present = [] if request.outputs.overwrite else [name for name in names if (folder / name).exists()]
    if present:
        raise OutputError(
            f"The folder {folder} already holds {', '.join(present[:3])}{' and more' if len(present) > 3 else ''}. "
            "Choose another folder, or replace them with --overwrite."
        )


def _is_missing(source: Any) -> bool:
    """Return whether a path does not exist. False for broken links and unreadable paths, which the reader explains."""
    if not isinstance(source, str | Path):
        return False
    try:
        path, _ = split_channel(Path(source))
        return not path.exists() and not path.is_symlink()
    except OSError:
        return False
