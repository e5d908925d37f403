"""What is known of a job: plain frozen data, no patient data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brats_mm.pipeline.request import SegmentRequest, make_request
from brats_mm_service.jobs.states import JobState

DEFAULT_REQUEST = make_request(report=True, scene=True, dicom_folder="")
"""What a job computes unless its caller says otherwise. All results of a job lie in one folder."""


def in_callers_names(sentence: str, stored: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Replace the names of stored files in a sentence by those that the caller gave them.

    Args:
        sentence: for the caller.
        stored: sequence -> stored file name; a folder of DICOM is named as its sequence, and is left alone.
        names: sequence -> the caller's file name.
    """
    told = {name: names[sequence] for sequence, name in stored.items() if sequence in names and name != sequence}
    if not told:
        return sentence
    one_of = "|".join(re.escape(name) for name in sorted(told, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{one_of})(?![\w-])", lambda found: told[found[0]], sentence)


@dataclass(frozen=True)
class ResultFile:
    """A file of a finished job."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Progress:
    """How far a running job is.

    Attributes:
        stage: waiting, reading, segmenting, writing or finished.
        done, total: windows, while segmenting.
    """

    stage: str = "waiting"
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class NewJob:
    """A job about to be accepted.

    Attributes:
        id: unguessable.
        owner: the caller.
        request: what is requested, without input and output.
        sequences: sequence -> stored file name, in channel order.
        ignored: uploaded file -> why it is not used.
        notes: how the sequences were recognised, where that is not plain.
        names: sequence -> name of the file that the caller sent for it.
        key: the caller's Idempotency-Key.
        fingerprint: SHA-256 over options and files, to tell a repeated request from another one.
        keep_upload: keep the uploaded files as long as the results.
    """

    id: str
    owner: str
    request: SegmentRequest
    sequences: Mapping[str, str]
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    fingerprint: str = ""
    keep_upload: bool = False


@dataclass(frozen=True)
class Job:
    """The record of an accepted job; times are seconds since 1970.

    Attributes:
        attempts: how often it was started.
        error: problem body, if it failed.
        results: what it made, if it is done.
        seconds: stage -> seconds, if it is done.
    """

    id: str
    owner: str
    state: JobState
    request: SegmentRequest
    sequences: Mapping[str, str]
    ignored: Mapping[str, str]
    notes: tuple[str, ...]
    created: float
    started: float | None
    finished: float | None
    attempts: int
    error: Mapping[str, Any] | None
    results: tuple[ResultFile, ...]
    seconds: Mapping[str, float]
    fingerprint: str
    keep_upload: bool = False
    names: Mapping[str, str] = field(default_factory=dict)

    def in_callers_names(self, sentence: str) -> str:
        """A sentence of the worker, with the names that the caller gave the files."""
        return in_callers_names(sentence, self.sequences, self.names)

    def result(self, name: str) -> ResultFile | None:
        """The result of that name."""
        return next((one for one in self.results if one.name == name), None)
