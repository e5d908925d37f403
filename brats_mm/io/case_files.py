"""Find the sequences of a case by file name in a folder, or use the files given by the user."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from brats_mm.domain.atlas import note_atlas_names
from brats_mm.domain.availability import sort_modalities
from brats_mm.domain.case import CaseFiles
from brats_mm.domain.modality import Modality
from brats_mm.domain.options import BidsFilter
from brats_mm.domain.sequence_names import find_modalities
from brats_mm.domain.time_points import differ_in_time
from brats_mm.errors import CaseError
from brats_mm.io.bids import explain_skip, find_session, is_bids, make_session_count_error, select_session
from brats_mm.io.case_name import find_common_name
from brats_mm.io.channels import build_channel_case, make_unknown_order_error
from brats_mm.io.formats.nifti import find_pair_name
from brats_mm.io.naming import Recognised, read_described_channels, recognise
from brats_mm.io.suffixes import (
    MAX_VOLUMES,
    PAIR_SUFFIXES,
    explain_known_format,
    explain_unreadable,
    find_image_suffix,
    strip_image_suffix,
)
from brats_mm.io.unfetched import FETCH, is_unfetched
from brats_mm.io.volume import count_volumes

_RESULT = re.compile(
    r"segmentation\.(nii\.gz|seg\.nrrd)|entropy(_(wt|tc|et))?\.nii\.gz|(probability|mask)_(wt|tc|et)\.nii\.gz|"
    r"(registered|image|importance)_\w+\.nii\.gz"
)
"""Files that a run writes next to its `report.json`. They are neither images nor part of a case name."""

_MAX_SHOWN_FILES = 12
_MAX_SHOWN_REASONS = 4
_BY_OPTION = "provide the files by option: --t1, --t1ce, --t2, --flair"


def find_bids_case(dataset: Path, selection: BidsFilter) -> CaseFiles:
    """Find the sequences of one session of a BIDS dataset.

    Raises:
        CaseError: not exactly one session matches, or its images are ambiguous.
        OptionError: the folder is not a BIDS dataset.
    """
    _check_folder(dataset)
    name = None if is_bids(dataset) else _find_session_of_images(dataset, selection)
    if name is not None:
        return replace(find_case(dataset, selection=selection), name=name)
    session = select_session(dataset, selection)
    return replace(find_case(session.folder, selection=selection), name=session.name)


def _find_session_of_images(folder: Path, selection: BidsFilter) -> str | None:
    """Return the session of the BIDS images in a folder and its subfolders, or None without BIDS names.

    Raises:
        CaseError: the filter selects no session or several.
    """
    names = [path.name for subfolder in (folder, *_list_subfolders(folder)) for path in _list_images(subfolder)[0]]
    sessions = {name: session for name in names if (session := find_session(name)) is not None}
    if not sessions:
        return None
    matches = sorted({session for name, session in sessions.items() if explain_skip(name, selection) is None})
    if len(matches) != 1:
        raise make_session_count_error(matches, sorted(set(sessions.values())))
    return matches[0]


def find_case(
    folder: Path, *, channels: Sequence[Modality] | None = None, selection: BidsFilter | None = None
) -> CaseFiles:
    """Find the sequences in a folder by file name, or else in its direct subfolders.

    If the folder only has one four-dimensional file, its volumes are assigned by `find_channels`.

    Args:
        folder: folder of one case.
        channels: sequence of each volume of a four-dimensional file.
        selection: selection of its images by BIDS entities.

    Raises:
        CaseError: the folder does not exist, has no sequence, or has several files for one sequence.
    """
    _check_folder(folder)
    images, ignored = _select_images(folder, selection)
    recognised = recognise(images, folder)
    if not recognised.candidates and not recognised.unclear:
        recognised, ignored_below = _recognise_below(folder, recognised, selection)
        ignored |= ignored_below
    unusable = dict(ignored)
    four_dimensional = [] if recognised.candidates else [path for path in images if is_four_dimensional(path)]
    if len(four_dimensional) == 1:
        return find_channels(four_dimensional[0], channels)
    ignored |= {_format_path(path, folder): reason for path, reason in recognised.ignored.items()}
    ignored |= _settle_unclear(recognised, folder)
    _check_unique(recognised, ignored, folder)
    chosen = {modality: recognised.candidates[modality][0] for modality in sort_modalities(recognised.candidates)}
    _check_one_time_point(chosen, folder)
    notes = (*recognised.notes, *_note_lost_sequences(unusable, chosen), *note_atlas_names([*chosen.values()]))
    files = {modality: str(path) for modality, path in chosen.items()}
    return CaseFiles(folder.resolve().name or "case", files, dict(sorted(ignored.items())), notes)


def _select_images(folder: Path, selection: BidsFilter | None) -> tuple[list[Path], dict[str, str]]:
    """Return the selected image files of a folder, and the reason for each other file by name.

    Raises:
        CaseError: the folder holds more volumes than one case has.
    """
    images, ignored = _list_images(folder)
    if len(images) > MAX_VOLUMES:
        raise CaseError(
            f"{folder} holds {len(images):,} volume files, but a case has only a few. Provide the folder of one case."
        )
    unwanted = {path: reason for path in images if selection and (reason := explain_skip(path.name, selection))}
    ignored |= {path.name: reason for path, reason in unwanted.items()}
    return [path for path in images if path not in unwanted], ignored


def _recognise_below(
    folder: Path, recognised: Recognised, selection: BidsFilter | None
) -> tuple[Recognised, dict[str, str]]:
    """Recognise the images in the subfolders of a folder without sequences.

    Returns:
        The recognised files, and the reason for each file that is not an image, by path below `folder`.

    Raises:
        CaseError: the subfolders are several cases.
    """
    below = _list_subfolders(folder)
    _check_one_case(below, folder, selection)
    images: list[Path] = []
    ignored: dict[str, str] = {}
    for sub in below:
        images_in_sub, passed_over = _select_images(sub, selection)
        images += images_in_sub
        ignored |= {f"{sub.name}/{name}": reason for name, reason in passed_over.items()}
    if not images:
        return recognised, ignored
    deeper = recognise(images, folder)
    return replace(deeper, ignored={**recognised.ignored, **deeper.ignored}), ignored


def is_four_dimensional(path: Path) -> bool:
    """Return whether a path is a NIfTI file with several volumes."""
    return path.is_file() and (count_volumes(path) or 1) > 1


def find_channels(path: Path, channels: Sequence[Modality] | None = None) -> CaseFiles:
    """Find the sequences in a four-dimensional file, by the given order or by `dataset.json`.

    Raises:
        CaseError: the sequences of the volumes are unknown, or their number does not match.
    """
    volumes = count_volumes(path) or 1
    if channels is not None:
        return build_channel_case(path, volumes, channels, "--channels")
    order, source = read_described_channels(path.parent)
    if not order:
        raise make_unknown_order_error(path, volumes)
    return build_channel_case(path, volumes, [order[number] for number in sorted(order)], source)


def build_explicit_case(paths: Mapping[Modality, Path], name: str | None = None) -> CaseFiles:
    """Return a case from files given by the user.

    Args:
        paths: file of each available sequence. `read_case` checks them.
        name: name of the case. Defaults to the common part of the file names, or else the folder's name.

    Raises:
        CaseError: no file, or the same file for two sequences.
    """
    if not paths:
        raise CaseError(f"No sequence was given. Provide at least one file: {_BY_OPTION}.")
    modality_of_file: dict[Path, Modality] = {}
    for modality in sort_modalities(paths):
        # Unlike Path.resolve, realpath accepts loops of links. The reader reports them.
        twin = modality_of_file.setdefault(Path(os.path.realpath(paths[modality])), modality)
        if twin is not modality:
            raise CaseError(
                f"{paths[modality].name} was given as {twin.label} and as {modality.label}. Provide a separate file "
                "for each sequence, and omit missing sequences."
            )
    return CaseFiles(
        name or find_common_name(list(paths.values())),
        {modality: str(paths[modality]) for modality in sort_modalities(paths)},
    )


def _check_folder(folder: Path) -> None:
    try:
        if folder.is_dir():
            return
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
    except OSError as error:  # name too long, or unreadable folder
        problem = f"cannot be read ({error.strerror or error})"
    raise CaseError(f"{folder} {problem}. Provide the folder of one case, or single files, for example --t1ce FILE.")


def _list_entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise CaseError(
            f"The folder {folder} cannot be read: {error.strerror or error}. Check its permissions."
        ) from error


def _list_images(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """Return the image files of a folder, and the reason for each ignored file by name."""
    images: list[Path] = []
    passed_over: dict[str, str] = {}
    has_results = (folder / "report.json").is_file()
    for path in _list_entries(folder):
        if path.is_dir():
            continue
        if has_results and _RESULT.fullmatch(path.name):
            passed_over[path.name] = "it is a result of an earlier run"
        elif path.name.startswith("."):
            passed_over[path.name] = "it is a hidden file"
        elif (reason := _explain_unusable(path)) is not None:
            passed_over[path.name] = reason
        else:
            images.append(path)
    return images, passed_over


def _explain_unusable(path: Path) -> str | None:
    """Return why a file is not used as an image of a folder, or None if it is."""
    if path.is_symlink() and not path.exists():
        return "it is a broken link. Fetch the file, for example with datalad get"
    if not path.is_file():
        return "it is not a regular file"
    if find_image_suffix(path.name) is None:
        return explain_unreadable(path.name)
    partner = find_pair_name(path.name)
    if partner is None:
        return None
    if not (path.parent / partner).exists():
        return f"its companion file {partner} is missing"
    return f"it is the header of {partner}" if find_image_suffix(path.name) in PAIR_SUFFIXES.values() else None


def _list_subfolders(folder: Path) -> list[Path]:
    return [path for path in _list_entries(folder) if path.is_dir() and not path.name.startswith(".")]


def _check_one_case(below: Iterable[Path], folder: Path, selection: BidsFilter | None) -> None:
    """Raise a specific error if the folder contains several cases, which is a common mistake."""
    cases = [sub.name for sub in below if len(recognise(_select_images(sub, selection)[0], sub).candidates) > 1]
    if len(cases) > 1:
        raise CaseError(
            f"{folder} holds {len(cases)} cases ({_join_names(cases)}), but one case is needed. Provide the folder of "
            "one of them."
        )


def _settle_unclear(recognised: Recognised, folder: Path) -> dict[str, str]:
    """Ignore files whose names match two sequences that both have other files, such as subtractions."""
    open_ones = {
        path: candidates
        for path, candidates in recognised.unclear.items()
        if not set(candidates) <= set(recognised.candidates)
    }
    if open_ones:
        names_text = "; ".join(
            f"{_format_path(path, folder)} ({_describe_possible_sequences(path, recognised)})" for path in open_ones
        )
        raise CaseError(f"In {folder}, these names are ambiguous: {names_text}. Rename them, or {_BY_OPTION}.")
    return {
        _format_path(path, folder): f"its name matches {_describe_possible_sequences(path, recognised)}"
        for path in recognised.unclear
    }


def _describe_possible_sequences(path: Path, recognised: Recognised) -> str:
    doubt = recognised.doubts.get(path)
    return " or ".join([*(modality.label for modality in recognised.unclear[path]), *([doubt] if doubt else [])])


def _check_unique(recognised: Recognised, ignored: Mapping[str, str], folder: Path) -> None:
    if not recognised.candidates:
        raise CaseError(_describe_nothing_found(ignored, folder))
    doubles = {
        modality: [_format_path(path, folder) for path in recognised.candidates[modality]]
        for modality in sort_modalities(recognised.candidates)
        if len(recognised.candidates[modality]) > 1
    }
    if doubles:
        listed = [f"{m.label} could be {_join_names(names[:-1])} or {names[-1]}" for m, names in doubles.items()]
        advice = "Keep one file per sequence"
        if differ_in_time(name for names in doubles.values() for name in names):
            advice = "Their names state different time points. Keep one, select a BIDS session with --session"
        raise CaseError(
            f"In {folder}, several files match the same sequence: {'; '.join(listed)}. {advice}, or {_BY_OPTION}."
        )


def _check_one_time_point(chosen: Mapping[Modality, Path], folder: Path) -> None:
    """Refuse files whose names state different examinations, because a tumour changes between them."""
    names = [_format_path(path, folder) for path in chosen.values()]
    if differ_in_time(names):
        raise CaseError(
            f"In {folder}, the names state different time points: {_join_names(names)}. Provide the folder of one time "
            f"point, select a session of a BIDS dataset with --session, or {_BY_OPTION}."
        )


def _note_lost_sequences(unusable: Mapping[str, str], chosen: Mapping[Modality, Path]) -> Iterator[str]:
    """Yield a note for each file that cannot be used, but names a sequence without another file."""
    for name, reason in unusable.items():
        if "picture" in reason or not (_is_informative(reason) or explain_known_format(name) == reason):
            continue
        modalities = find_modalities(strip_image_suffix(Path(name).name))
        if len(modalities) == 1 and not modalities & set(chosen):
            yield f"{next(iter(modalities)).label} is missing: {name} is ignored, because {reason}"


def _describe_nothing_found(ignored: Mapping[str, str], folder: Path) -> str:
    folders = [path.name for path in _list_subfolders(folder)]
    if ignored:
        contents = f"it holds {_join_names(list(ignored))}"
    else:
        contents = f"it holds the folders {_join_names(folders)}" if folders else "it is empty"
    several = [name for name in ignored if find_image_suffix(name) and (count_volumes(folder / name) or 1) > 1]
    if several:
        hint = f"{_join_names(several)} has several volumes in one file: split it into one file per sequence."
    elif unfetched := [name for name in list(ignored)[:_MAX_SHOWN_FILES] if is_unfetched(folder / name)]:
        hint = f"{unfetched[0]} is a broken link or a pointer to a file that was not fetched. {FETCH}"
    elif any(name.lower().endswith((".dcm", ".ima")) for name in ignored):
        hint = "Its DICOM files do not form a study. See brats-mm inspect."
    elif is_bids(folder):
        hint = "It looks like a BIDS dataset. Select one of its images with --participant and --session."
    elif folders and not ignored:
        hint = "Provide the folder that directly holds the images."
    elif reasons := _format_reasons(ignored):
        hint = f"{reasons}."
    else:
        hint = (
            "File names must contain the sequence, as in case_t1.nii.gz, case_t1ce.nii.gz, case_t2.nii.gz, "
            "case_flair.nii.gz."
        )
    return f"No sequence was recognised in {folder}: {contents}. {hint} Or {_BY_OPTION}."


def _is_informative(reason: str) -> bool:
    return any(words in reason for words in ("broken link", "missing", "regular", "another kind of image", "label map"))


def _format_reasons(ignored: Mapping[str, str]) -> str:
    """Return why possible images were ignored, except for names without a sequence."""
    reasons_by_file = {
        name: reason
        for name, reason in ignored.items()
        if explain_known_format(name) == reason
        or (find_image_suffix(name) and _is_informative(reason))
        or (reason == explain_unreadable(name) and find_modalities(Path(name).name))
    }
    shown = list(reasons_by_file.items())[:_MAX_SHOWN_REASONS]
    return ". ".join(f"{name} cannot be used: {reason}" for name, reason in shown)


def _join_names(names: list[str]) -> str:
    more = len(names) - _MAX_SHOWN_FILES
    return ", ".join(names[:_MAX_SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")


def _format_path(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
