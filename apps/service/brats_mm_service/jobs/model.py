"""What is known of a job: plain frozen data, no patient data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brats_mm_service.jobs.states import JobState


@dataclass(frozen=True)
class JobOptions:
    """What the caller wants.

    Attributes:
        labels: convention of label values, brats2023 or brats2021.
        probabilities, importance_maps, preview, report: further outputs.
        dicom: DICOM objects too; the input must be a DICOM study.
        deidentify: take the patient's identity out of these objects.
        keep_upload: keep the uploaded files as long as the results.
        series: sequence -> series of a DICOM study, where the caller says.
        study: which DICOM study, where the archive holds several.
    """

    labels: str = "brats2023"
    probabilities: bool = False
    importance_maps: bool = False
    preview: bool = True
    report: bool = True
    dicom: bool = False
    deidentify: bool = False
    keep_upload: bool = False
    series: Mapping[str, str] = field(default_factory=dict)
    study: str | None = None


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
        options: what is wanted.
        sequences: sequence -> stored file name, in channel order.
        ignored: uploaded file -> why it is not used.
        notes: how the sequences were recognised, where that is not plain.
        key: the caller's Idempotency-Key.
        fingerprint: SHA-256 over options and files, to tell a repeated request from another one.
    """

    id: str
    owner: str
    options: JobOptions
    sequences: Mapping[str, str]
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    key: str | None = None
    fingerprint: str = ""


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
    options: JobOptions
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

    def result(self, name: str) -> ResultFile | None:
        """The result of that name."""
        return next((one for one in self.results if one.name == name), None)
