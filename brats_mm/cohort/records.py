"""Records of a cohort's cases, tasks and results, as plain values for any process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from brats_mm.domain.modality import Modality
from brats_mm.execution.tasks import Task

MAX_NAME_LENGTH = 120
"""Maximum length of a case's name in bytes, because file names contain it."""


class CaseState(str, Enum):
    """Final state of a case."""

    DONE = "done"
    SAME = "same"
    FAILED = "failed"


class Layout(str, Enum):
    """Layout of the results: one folder per case, or a BIDS derivative dataset."""

    PLAIN = "plain"
    BIDS = "bids"


@dataclass(frozen=True)
class CohortCase:
    """A row of a manifest.

    Attributes:
        name: name of the case, unique in its cohort.
        folder: folder of its sequences, which are recognised by name or DICOM header. None if `files` are given.
        files: files by sequence, if given in the manifest.
        fault: reason why it cannot be used, for the table of failures.
    """

    name: str
    folder: str | None = None
    files: Mapping[Modality, str] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True)
class CaseTask(Task):
    """A case to segment, for an engine.

    Attributes:
        case: the case.
        output: folder of the cohort.
        known: content hash of existing results. A case with this hash is not computed again.
    """

    case: CohortCase
    output: str
    known: str | None = None

    @property
    def name(self) -> str:
        """Name of the case."""
        return self.case.name


@dataclass(frozen=True)
class TaskResult:
    """Result of a case.

    Attributes:
        name: name of the case.
        state: final state. `SAME` if its content matches existing results.
        content: hash of its files' content. Empty if they could not be read.
        row: row of the results table, if done.
        kind: kind of failure.
        detail: description of the failure for the user.
    """

    name: str
    state: CaseState
    content: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    detail: str = ""


def explain_invalid_name(name: str) -> str | None:
    """Return the reason why a name is invalid, or None for a valid name."""
    is_plain = name.isprintable() and not any(letter in name for letter in '/\\:*?"<>|')
    if name and is_plain and not name.startswith((".", " ")) and len(name.encode()) <= MAX_NAME_LENGTH:
        return None
    return (
        f"The case name {name[:60]!r} is not a valid folder name. Use at most {MAX_NAME_LENGTH} letters, digits, "
        "'-' and '_'."
    )
