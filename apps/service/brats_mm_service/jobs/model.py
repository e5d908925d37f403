"""Frozen dataclasses of a job, without patient data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brats_mm.pipeline.request import SegmentRequest, make_request
from brats_mm_service.jobs.states import JobState

DEFAULT_REQUEST = make_request(report=True, scene=True, dicom_folder="")
"""Default results of a job, all in one folder."""


def replace_stored_names(sentence: str, stored: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Replace the names of stored files in a message with the caller's names.

    Args:
        sentence: message for the caller.
        stored: stored file name by sequence. A DICOM folder is named like its sequence and is not replaced.
        names: the caller's file name by sequence.
    """
    replacements = {
        name: names[sequence] for sequence, name in stored.items() if sequence in names and name != sequence
    }
    if not replacements:
        return sentence
    one_of = "|".join(re.escape(name) for name in sorted(replacements, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{one_of})(?![\w-])", lambda match: replacements[match[0]], sentence)


@dataclass(frozen=True)
class ResultFile:
    """A file of a finished job."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Progress:
    """Progress of a running job.

    Attributes:
        stage: waiting, reading, preprocessing, segmenting, writing or finished. Of a training run: reading, training,
            evaluating.
        done, total: windows while segmenting, cases while reading or evaluating, seconds while training.
        fraction: completed fraction of all stages, 0 to 1. None for a training job.
        step: current step of the stage, such as "registering T1 to T1ce".
    """

    stage: str = "waiting"
    done: int = 0
    total: int = 0
    fraction: float | None = 0.0
    step: str = ""


@dataclass(frozen=True)
class JobInput:
    """What a job computes.

    Attributes:
        id: random identifier.
        owner: the caller.
        request: the request, without input and output.
        sequences: stored file name of each sequence, in channel order.
        ignored: reason for each ignored file.
        notes: notes on how the sequences were recognised.
        names: the caller's file name by sequence.
        fingerprint: SHA-256 over options and files, to detect repeated requests.
        keep_upload: keep the uploaded files as long as the results.
        training: version to create, its parent and minutes. None for a segmentation.
    """

    id: str
    owner: str
    request: SegmentRequest
    sequences: Mapping[str, str]
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    keep_upload: bool = False
    training: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class NewJob(JobInput):
    """A job to be accepted, with the caller's Idempotency-Key if there is one."""

    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job(JobInput):
    """Record of an accepted job. Times are seconds since 1970.

    Attributes:
        attempts: number of starts.
        error: problem body, if it failed.
        results: result files, if done.
        seconds: seconds per stage, if done.
    """

    state: JobState
    created: float
    started: float | None
    finished: float | None
    attempts: int
    error: Mapping[str, Any] | None
    results: tuple[ResultFile, ...]
    seconds: Mapping[str, float]

    def use_callers_names(self, sentence: str) -> str:
        """Return a message of the worker with the caller's file names."""
        return replace_stored_names(sentence, self.sequences, self.names)

    @property
    def has_series(self) -> bool:
        """Whether the upload holds DICOM series. They are folders, whose names have no suffix."""
        return any("." not in name for name in self.sequences.values())

    def result(self, name: str) -> ResultFile | None:
        """Return the result with the given name, or None."""
        return next((file for file in self.results if file.name == name), None)
