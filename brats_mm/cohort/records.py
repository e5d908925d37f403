"""A cohort: cases by the thousand, what is asked of each, what came of it; plain values for any process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from brats_mm.domain.modality import Modality

LONGEST_NAME = 120
"""Bytes of a case's name: it becomes part of file names."""


class CaseState(str, Enum):
    """How a case ended."""

    DONE = "done"
    SAME = "same"
    FAILED = "failed"


class Layout(str, Enum):
    """How results are laid out: a folder a case, or a BIDS derivative dataset."""

    PLAIN = "plain"
    BIDS = "bids"


@dataclass(frozen=True)
class CohortCase:
    """A line of a manifest.

    Attributes:
        name: of the case, unique in its cohort.
        folder: with its sequences, which are recognised by name or DICOM header; None where files are named.
        files: sequence -> file, where the manifest names them.
        fault: why it cannot be a case; its sentence goes to the failures.
    """

    name: str
    folder: str | None = None
    files: Mapping[Modality, str] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True)
class CaseTask:
    """A case to be segmented, as an engine gets it.

    Attributes:
        case: which.
        output: the cohort's folder.
        known: hash of the content from which there are results already; where it is the same, nothing is computed.
        alone: no other case may be in that worker: it, or a neighbour of it, has taken a worker down.
    """

    case: CohortCase
    output: str
    known: str | None = None
    alone: bool = False


@dataclass(frozen=True)
class TaskResult:
    """What came of a case.

    Attributes:
        name: of the case.
        state: how it ended; `SAME` where its content is that of the results that are there.
        content: hash of its files' content; empty where they could not be read.
        row: of the table of results, if done.
        kind: of the failure.
        detail: the sentence for the person who has to mend it.
    """

    name: str
    state: CaseState
    content: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    detail: str = ""


def name_fault(name: str) -> str | None:
    """Why a case cannot go by that name; None if it can."""
    plain = name.isprintable() and not any(letter in name for letter in '/\\:*?"<>|')
    if name and plain and not name.startswith((".", " ")) and len(name.encode()) <= LONGEST_NAME:
        return None
    return (
        f"The case name {name[:60]!r} cannot be the name of a folder. Use letters, digits, '-' and '_', "
        f"{LONGEST_NAME} at most."
    )
