"""Raw BIDS datasets: participants, sessions, and selection of images by entity."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brats_mm.domain.options import BidsFilter
from brats_mm.errors import CaseError, OptionError

_MAX_SHOWN = 10


@dataclass(frozen=True)
class BidsSession:
    """A participant, or one session of a participant.

    Attributes:
        name: `sub-01` or `sub-01_ses-02`.
        folder: the `anat` folder with the images.
    """

    name: str
    folder: Path


def explain_skip(name: str, selection: BidsFilter) -> str | None:
    """Return the reason why a filter rejects an image, as a clause, or None if it selects the image."""
    for entity, labels in (
        ("sub", selection.participant),
        ("ses", selection.session),
        ("run", _to_tuple(selection.run)),
        ("acq", _to_tuple(selection.acquisition)),
    ):
        label = _find_label(name, entity)
        if labels and label is not None and not any(_is_equal_label(label, value, entity) for value in labels):
            return f"{' or '.join(f'{entity}-{_remove_entity(value, entity)}' for value in labels)} was requested"
    return None


def find_session(name: str) -> str | None:
    """Return participant and session of a file name, such as `sub-01_ses-pre`, or None if it is not a BIDS name."""
    participant, session = _find_label(name, "sub"), _find_label(name, "ses")
    if participant is None:
        return None
    return f"sub-{participant}" + ("" if session is None else f"_ses-{session}")


def is_bids(folder: Path) -> bool:
    """Return whether a folder is a BIDS dataset."""
    if (folder / "dataset_description.json").is_file():
        return True
    return any(True for subject in folder.glob("sub-*") for _ in _iterate_sessions(subject))


def iterate_bids_sessions(folder: Path, selection: BidsFilter | None = None) -> Iterator[BidsSession]:
    """Yield the participants' sessions that have an `anat` folder, sorted by name."""
    bids = selection or BidsFilter()
    for subject in sorted(path for path in folder.glob("sub-*") if path.is_dir()):
        if _is_selected(subject.name, "sub", bids.participant):
            for session in sorted(_iterate_sessions(subject), key=lambda folder_path: folder_path.name):
                if _is_selected(session.name.partition("_")[2], "ses", bids.session):
                    yield session


def select_session(folder: Path, selection: BidsFilter) -> BidsSession:
    """Return the only session that matches a filter.

    Raises:
        CaseError: no session or several match. The message lists them.
        OptionError: the folder is not a BIDS dataset.
    """
    if not is_bids(folder):
        raise OptionError(
            f"--participant and --session need a BIDS dataset, but {folder} is not one. Provide a folder with "
            "sub-... folders, or omit the options."
        )
    sessions = list(iterate_bids_sessions(folder, selection))
    if len(sessions) == 1:
        return sessions[0]
    raise make_session_count_error(
        [session.name for session in sessions], [session.name for session in iterate_bids_sessions(folder)]
    )


def make_session_count_error(matching: Sequence[str], every: Sequence[str]) -> CaseError:
    """Return the error for a filter that matches no session or several."""
    names = matching or every
    listed = ", ".join(names[:_MAX_SHOWN]) + (" and more" if len(names) > _MAX_SHOWN else "")
    count_text = f"{len(matching)} sessions match" if matching else "No session matches"
    return CaseError(f"{count_text}, but exactly one must match: {listed}. Select it with --participant and --session.")


def _iterate_sessions(subject: Path) -> Iterator[BidsSession]:
    if (subject / "anat").is_dir():
        yield BidsSession(subject.name, subject / "anat")
    for session in subject.glob("ses-*"):
        if (session / "anat").is_dir():
            yield BidsSession(f"{subject.name}_{session.name}", session / "anat")


def _is_selected(label: str, entity: str, requested: Sequence[str]) -> bool:
    return not requested or any(_remove_entity(label, entity) == _remove_entity(value, entity) for value in requested)


def _is_equal_label(label: str, requested: str, entity: str) -> bool:
    """Return whether two labels are equal. Runs are compared as numbers, so 1 equals 01."""
    bare = _remove_entity(requested, entity)
    if entity == "run":
        label, bare = label.lstrip("0"), bare.lstrip("0")
    return label == bare


def _find_label(name: str, entity: str) -> str | None:
    match = re.search(rf"(?:^|_){entity}-([A-Za-z0-9]+)", name)
    return None if match is None else match[1]


def _remove_entity(label: str, entity: str) -> str:
    return label.removeprefix(f"{entity}-")


def _to_tuple(label: str | None) -> tuple[str, ...]:
    return () if label is None else (label,)
