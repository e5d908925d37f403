"""Bodies of requests and responses in the OpenAPI document."""

from datetime import datetime, timezone
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.options import BidsFilter, OutputOptions, PreprocessingOptions, list_options
from brats_mm.errors import OptionError
from brats_mm.pipeline.request import SegmentRequest, from_json, to_json
from brats_mm_service.jobs.model import DEFAULT_REQUEST, Job, Progress, ResultFile
from brats_mm_service.jobs.queue import JobView
from brats_mm_service.jobs.states import OPEN, JobState

ALL_RESULTS = "all.zip"
_TYPES = {
    ".nii.gz": "application/gzip",
    ".seg.nrrd": "application/x-nrrd",
    ".json": "application/json",
    ".png": "image/png",
    ".html": "text/html; charset=utf-8",
    ".mrb": "application/zip",
    ".zip": "application/zip",
    ".dcm": "application/dicom",
}


_OTHER = "application/octet-stream"
CONTENT_TYPES = tuple(dict.fromkeys((*(kind.partition(";")[0] for kind in _TYPES.values()), _OTHER)))
"""Media types of results, without parameters."""


def to_sentence(text: str) -> str:
    """Return a help text of the command line as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


def find_content_type(name: str) -> str:
    """Return the media type of a result."""
    return next((kind for suffix, kind in _TYPES.items() if name.endswith(suffix)), _OTHER)


HTTP_OPTIONS = tuple(
    option
    for kind in (OutputOptions, PreprocessingOptions, BidsFilter, SegmentRequest)
    for option in list_options(kind)
    if option.offer.http
)
"""Options of a request that a caller may set."""

_DEFAULTS = to_json(DEFAULT_REQUEST)
_RequestOptions: Any = create_model(  # type: ignore[call-overload]
    "_RequestOptions",
    **{
        option.name: (
            option.kind,
            Field(_DEFAULTS[option.name], validate_default=True, description=to_sentence(option.offer.help)),
        )
        for option in HTTP_OPTIONS
    },
)


class OptionsBody(_RequestOptions):
    """Requested results besides the segmentation, its entropy and the importance of each sequence."""

    model_config = ConfigDict(extra="forbid", strict=False)

    keep_upload: bool = Field(
        default=False,
        description="Keep the uploaded files as long as the results, instead of deleting them after the job.",
    )

    @model_validator(mode="after")
    def _has_no_contradiction(self) -> "OptionsBody":
        try:
            self.request()
        except OptionError as error:
            raise ValueError(str(error)) from error
        return self

    def request(self) -> SegmentRequest:
        """Return the request of a job, without input and output."""
        return from_json(self.model_dump(mode="json", exclude={"keep_upload"}), DEFAULT_REQUEST)

    @classmethod
    def from_request(cls, request: SegmentRequest, *, keep_upload: bool) -> "OptionsBody":
        """Return the options of a job for its owner."""
        values = to_json(request)
        return cls(**{option.name: values[option.name] for option in HTTP_OPTIONS}, keep_upload=keep_upload)


class ProblemBody(BaseModel):
    """Problem body of RFC 9457, with a description in one or two sentences."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


class ProgressBody(BaseModel):
    """Progress of a job."""

    stage: str = Field(
        description="waiting, reading, preprocessing, segmenting, writing, training, evaluating or finished"
    )
    step: str = Field(description="current step of the stage, such as registering T1 to T1ce, or empty")
    fraction: float | None = Field(description="completed fraction of all stages, 0 to 1. Null for a training job")
    windows_done: int
    windows_total: int

    @classmethod
    def from_progress(cls, progress: Progress) -> "ProgressBody":
        """Return the body for the progress of a job."""
        return cls(
            stage=progress.stage,
            step=progress.step,
            fraction=progress.fraction,
            windows_done=progress.done,
            windows_total=progress.total,
        )


class ResultBody(BaseModel):
    """A result file of a job."""

    name: str
    size: int = Field(description="bytes")
    sha256: str
    content_type: str
    href: str

    @classmethod
    def from_file(cls, job_id: str, file: ResultFile) -> "ResultBody":
        """Return the body for a result file of a job."""
        return cls(
            name=file.name,
            size=file.size,
            sha256=file.sha256,
            content_type=find_content_type(file.name),
            href=f"{make_job_path(job_id)}/results/{file.name}",
        )


class JobBody(BaseModel):
    """A job."""

    id: str
    kind: str = Field(description="segmentation, or training of a new version of the model")
    state: JobState
    sequences_found: list[str]
    sequences_missing: list[str]
    files: dict[str, str] = Field(description="name of the uploaded file for each sequence")
    ignored: dict[str, str] = Field(description="reason why an uploaded file is not used, by file name")
    notes: list[str]
    options: OptionsBody
    progress: ProgressBody
    queue_position: int | None = Field(
        description="position in the queue: 0 for the next job, null if the job is not waiting"
    )
    created: datetime
    started: datetime | None
    finished: datetime | None
    expires: datetime | None = Field(description="time at which the results are deleted")
    error: ProblemBody | None
    seconds: dict[str, float] = Field(description="seconds of each finished stage")
    results: list[ResultBody]
    links: dict[str, str]
    disclaimer: str

    @classmethod
    def from_view(cls, view: JobView, keep_s: float) -> "JobBody":
        """Return the body of a job for its owner."""
        job = view.job
        sequences = list(job.sequences)
        is_finished = job.state in (JobState.DONE, JobState.FAILED)
        return cls(
            id=job.id,
            kind="segmentation" if job.training is None else "training",
            state=job.state,
            sequences_found=sequences,
            sequences_missing=[modality.value for modality in MODALITIES if modality.value not in sequences],
            files=dict(job.names),
            ignored=dict(job.ignored),
            notes=list(job.notes),
            options=OptionsBody.from_request(job.request, keep_upload=job.keep_upload),
            progress=ProgressBody.from_progress(view.progress),
            queue_position=view.position,
            created=_to_datetime(job.created),
            started=None if job.started is None else _to_datetime(job.started),
            finished=None if job.finished is None else _to_datetime(job.finished),
            expires=_to_datetime(job.finished + keep_s) if is_finished and job.finished is not None else None,
            error=None if job.error is None else ProblemBody(**job.error),
            seconds=dict(job.seconds),
            results=[ResultBody.from_file(job.id, file) for file in job.results],
            links=_build_links(job),
            disclaimer=NOT_FOR_DIAGNOSIS,
        )


class JobsBody(BaseModel):
    """A page of the caller's own jobs, newest first."""

    jobs: list[JobBody]
    next: str | None = Field(description="path of the next page, null on the last page")


STUDY = "study.zip"
"""Name under which the DICOM series of a job are served."""


def make_job_path(job_id: str) -> str:
    """Return the location of a job."""
    return f"/v1/jobs/{job_id}"


def _build_links(job: Job) -> dict[str, str]:
    path = make_job_path(job.id)
    links = {"self": path, "jobs": "/v1/jobs"}
    if job.state in OPEN:
        links["events"] = f"{path}/events"
    if job.state is JobState.DONE:
        links["results"] = f"{path}/results"
        links["zip"] = f"{path}/results/{ALL_RESULTS}"
        if job.keep_upload:
            links["inputs"] = f"{path}/inputs"
            if job.has_series:
                links["study"] = f"{path}/inputs/{STUDY}"
    return links


def _to_datetime(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def make_example_job() -> dict[str, Any]:
    """Return the example of a job in the OpenAPI document."""
    return {
        "id": "h7Qe0m3Jx2vYb1kT9sWcRz5a",
        "kind": "segmentation",
        "state": "running",
        "sequences_found": ["t1ce", "flair"],
        "sequences_missing": ["t1", "t2"],
        "files": {"t1ce": "case-7_t1ce.nii.gz", "flair": "case-7_flair.nii.gz"},
        "ignored": {},
        "notes": [],
        "options": OptionsBody().model_dump(mode="json"),
        "progress": {"stage": "segmenting", "step": "", "fraction": 0.44, "windows_done": 3, "windows_total": 8},
        "queue_position": None,
        "created": "2026-01-31T09:00:00Z",
        "started": "2026-01-31T09:00:01Z",
        "finished": None,
        "expires": None,
        "error": None,
        "seconds": {},
        "results": [],
        "links": {
            "self": "/v1/jobs/h7Qe0m3Jx2vYb1kT9sWcRz5a",
            "jobs": "/v1/jobs",
            "events": "/v1/jobs/h7Qe0m3Jx2vYb1kT9sWcRz5a/events",
        },
        "disclaimer": NOT_FOR_DIAGNOSIS,
    }
