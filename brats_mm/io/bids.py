"""Raw BIDS datasets: participants, sessions, and selection of images by entity (`run-`, `acq-`)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brats_mm.errors import CaseError, OptionError

_SHOWN = 10


@dataclass(frozen=True)
class BidsFilter:
    """Selection of participants, sessions and images of a BIDS dataset, by labels with or without their entity.

    Attributes:
        participants, sessions: labels such as `01` or `sub-01`. Empty selects all.
        run, acquisition: label that images with this entity must have. Images without the entity are kept.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    run: str | None = None
    acquisition: str | None = None

    @property
    def picks_images(self) -> bool:
        """Whether the filter selects images within a session."""
        return self.run is not None or self.acquisition is not None

    @property
    def is_empty(self) -> bool:
        """Whether the filter selects everything."""
        return not (self.participants or self.sessions or self.picks_images)

    def reason_against(self, name: str) -> str | None:
        """Return why an image is not selected, as a clause, or None if it is."""
        for entity, requested in (("run", self.run), ("acq", self.acquisition)):
            match = re.search(rf"(?:^|_){entity}-([A-Za-z0-9]+)", name)
            if requested is not None and match is not None and not _is_same(match[1], requested, entity):
                return f"{entity}-{requested.removeprefix(f'{entity}-')} was requested"
        return None


@dataclass(frozen=True)
class BidsSession:
    """A participant, or one session of a participant.

    Attributes:
        name: `sub-01` or `sub-01_ses-02`.
        folder: the `anat` folder with the images.
    """

    name: str
    folder: Path


def is_bids(folder: Path) -> bool:
    """Return whether a folder is a BIDS dataset."""
    if (folder / "dataset_description.json").is_file():
        return True
    return any(True for subject in folder.glob("sub-*") for _ in _sessions(subject))


def bids_sessions(folder: Path, selection: BidsFilter | None = None) -> Iterator[BidsSession]:
    """Yield the participants' sessions that have an `anat` folder, sorted by name."""
    bids = selection or BidsFilter()
    for subject in sorted(path for path in folder.glob("sub-*") if path.is_dir()):
        if _is_wanted(subject.name, "sub", bids.participants):
            for session in sorted(_sessions(subject), key=lambda folder_path: folder_path.name):
                if _is_wanted(session.name.partition("_")[2], "ses", bids.sessions):
                    yield session


def one_session(folder: Path, selection: BidsFilter) -> BidsSession:
    """Return the only session that matches a filter.

    Raises:
        CaseError: no session or several match. The message lists them.
        OptionError: the folder is not a BIDS dataset.
    """
    if not is_bids(folder):
        message = (
            f"--participant and --session need a BIDS dataset, but {folder} is not one. Give a folder with sub-... "
            "folders, or omit the options."
        )
        raise OptionError(message)
    sessions = list(bids_sessions(folder, selection))
    if len(sessions) == 1:
        return sessions[0]
    every = sessions or list(bids_sessions(folder))
    listed = ", ".join(session.name for session in every[:_SHOWN]) + (" and more" if len(every) > _SHOWN else "")
    count_text = f"{len(sessions)} sessions match" if sessions else "No session matches"
    message = f"{count_text}, but exactly one must match: {listed}. Select it with --participant and --session."
    raise CaseError(message)


def _sessions(subject: Path) -> Iterator[BidsSession]:
    if (subject / "anat").is_dir():
        yield BidsSession(subject.name, subject / "anat")
    for session in subject.glob("ses-*"):
        if (session / "anat").is_dir():
            yield BidsSession(f"{subject.name}_{session.name}", session / "anat")


def _is_wanted(label: str, entity: str, requested: tuple[str, ...]) -> bool:
    bare = label.removeprefix(f"{entity}-")
    return not requested or any(bare == value.removeprefix(f"{entity}-") for value in requested)


def _is_same(label: str, requested: str, entity: str) -> bool:
    """Whether two labels are equal. Runs are compared as numbers, so 1 equals 01."""
    bare = requested.removeprefix(f"{entity}-")
    if entity == "run" and label.isdigit() and bare.isdigit():
        return int(label) == int(bare)
    return label == bare
