"""Errors as problem bodies (RFC 9457), with the same messages as the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse

from brats_mm.errors import (
    BratsMMError,
    BundleError,
    Cancelled,
    CaseError,
    GridError,
    InputError,
    OptionError,
    OutputError,
    ResourceError,
    TrainingError,
    VolumeError,
)

MEDIA_TYPE = "application/problem+json"
_URN = "urn:brats-mm:problem:"

TITLES: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be understood"),
    "unauthorised": (401, "A token is needed"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "The method is not supported"),
    "upload-timeout": (408, "The upload was too slow"),
    "not-ready": (409, "Not ready yet"),
    "expired": (410, "Expired"),
    "damaged": (410, "The results are damaged"),
    "too-large": (413, "Too large"),
    "unsupported-content": (415, "Unsupported content"),
    "range-not-satisfiable": (416, "The range is invalid"),
    "misdirected": (421, "Wrong host name"),
    "bad-case": (422, "The case cannot be used"),
    "bad-volume": (422, "A volume cannot be used"),
    "bad-grid": (422, "The volumes have different grids"),
    "bad-option": (422, "An option has an invalid value"),
    "bad-zip": (422, "The zip file cannot be used"),
    "idempotency-conflict": (422, "The key was used for another request"),
    "too-many": (429, "Too many jobs or uploads"),
    "header-too-large": (431, "The request's headers are too large"),
    "internal": (500, "An internal error of the service"),
    "model": (500, "The model cannot be used"),
    "training": (500, "The training cannot continue"),
    "memory": (500, "The machine's memory is too small"),
    "time-limit": (500, "The job took too long"),
    "worker-crash": (500, "The worker stopped"),
    "interrupted": (500, "The job was interrupted too many times"),
    "cancelled": (409, "Cancelled"),
    "unavailable": (503, "Not ready"),
    "disk-full": (507, "The disk is full"),
    "quota": (507, "Your share of the disk is used up"),
}
"""HTTP status and title of each kind of problem."""

_KINDS: tuple[tuple[type[BratsMMError], str], ...] = (
    (VolumeError, "bad-volume"),
    (GridError, "bad-grid"),
    (CaseError, "bad-case"),
    (OptionError, "bad-option"),
    (OutputError, "disk-full"),
    (InputError, "bad-case"),
    (BundleError, "model"),
    (TrainingError, "training"),
    (ResourceError, "memory"),
    (Cancelled, "cancelled"),
)


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 (the term of RFC 9457)
    """An error with a problem body (RFC 9457).

    Attributes:
        kind: one of `TITLES`.
        detail: one or two sentences for the user.
        headers: response headers.
    """

    kind: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return TITLES[self.kind][0]

    def body(self) -> dict[str, Any]:
        """Return the problem body."""
        return make_problem_body(self.kind, self.detail)


def make_problem_response(problem: Problem) -> JSONResponse:
    """Return the response for a problem."""
    return JSONResponse(problem.body(), problem.status, dict(problem.headers), media_type=MEDIA_TYPE)


def make_problem_body(kind: str, detail: str) -> dict[str, Any]:
    """Return an RFC 9457 body, which is also the `error` of a failed job."""
    status, title = TITLES[kind]
    return {"type": f"{_URN}{kind}", "title": title, "status": status, "detail": detail}


def extract_kind(body: Mapping[str, Any]) -> str:
    """Return the kind of a body of `make_problem_body`."""
    return str(body["type"]).removeprefix(_URN)


def find_error_kind(error: BratsMMError) -> str:
    """Return the kind of problem of a library error."""
    return next((kind for of, kind in _KINDS if isinstance(error, of)), "internal")


def make_not_found_error() -> Problem:
    """Return the problem for a job that does not exist or belongs to another caller. Both get the same response."""
    return Problem("not-found", "There is no such job. It may have been deleted, or belong to another caller.")
