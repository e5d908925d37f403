"""Studies of the configured archive: fetched, segmented and stored back on request."""

from datetime import datetime, timezone
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from brats_mm_service.auth.callers import Caller
from brats_mm_service.dicomweb.client import is_uid
from brats_mm_service.dicomweb.transfers import Transfer
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import document_problems, document_response
from brats_mm_service.routes.jobs import check_room
from brats_mm_service.schemas import make_job_path
from brats_mm_service.service import Service

_EXAMPLE = {
    "id": "h7Qe0m3Jx2vYb1kT9sWcRz5a",
    "study": "1.2.826.0.1.3680043.8.498.1",
    "state": "done",
    "detail": "",
    "attempts": 0,
    "created": "2026-01-31T09:00:00Z",
    "job": "/v1/jobs/k3Jd8sPq1LmN0vXz2RtYw6Bc",
    "stored": ["2.25.1", "2.25.2", "2.25.3"],
    "already_there": [],
}


class TransferBody(BaseModel):
    """Body of a transfer."""

    id: str
    study: str
    state: str = Field(description="fetching, computing, storing, done or failed")
    detail: str = Field(description="reason for a failure or delay")
    attempts: int = Field(description="failed attempts of the current step")
    created: datetime
    job: str | None = Field(description="the job that computes it")
    stored: list[str] = Field(description="SOP Instance UIDs of the objects that were stored")
    already_there: list[str] = Field(description="objects that the archive already had")

    @classmethod
    def from_transfer(cls, transfer: Transfer) -> "TransferBody":
        """Return the body of a transfer."""
        return cls(
            id=transfer.id,
            study=transfer.study,
            state=transfer.state.value,
            detail=transfer.detail,
            attempts=transfer.attempts,
            created=datetime.fromtimestamp(transfer.created, tz=timezone.utc),
            job=None if transfer.job is None else make_job_path(transfer.job),
            stored=list(transfer.stored),
            already_there=list(transfer.present),
        )


def build_router(service: Service) -> APIRouter:
    """Return the routes under /v1/dicomweb."""
    routes = APIRouter(prefix="/v1/dicomweb", tags=["DICOMweb"])
    reader = Depends(service.auth.require_scope("jobs:read"))
    writer = Depends(service.auth.require_scope("jobs:write"))
    study = Path(description="Study Instance UID", max_length=64)
    example_response = document_response(_EXAMPLE, "State of the transfer")[200]

    @routes.post(
        "/studies/{uid}",
        status_code=202,
        summary="Fetch a study from the archive, segment it, and store the results there",
        responses=document_problems(401, 403, 404, 422, 429, 503, 507)
        | {202: example_response, 200: {**example_response, "description": "The transfer is already in progress"}},
    )
    def begin(uid: Annotated[str, study], response: Response, caller: Annotated[Caller, writer]) -> TransferBody:
        """Start a transfer. The results are a Segmentation, a Parametric Map and a Structured Report."""
        _check(service, uid)
        check_room(service, caller.name)
        transfer, is_new = service.transfers.begin(uid, caller.name)
        response.status_code = 202 if is_new else 200
        response.headers["Location"] = f"/v1/dicomweb/studies/{uid}"
        return TransferBody.from_transfer(transfer)

    @routes.get(
        "/studies/{uid}",
        summary="State of your transfers of a study, newest first",
        responses=document_problems(401, 403, 404, 422) | document_response([_EXAMPLE], "State of each transfer"),
    )
    def look(uid: Annotated[str, study], caller: Annotated[Caller, reader]) -> list[TransferBody]:
        """Return the caller's transfers of a study."""
        _check(service, uid)
        return [TransferBody.from_transfer(transfer) for transfer in service.transfers.list_for_study(uid, caller.name)]

    return routes


def _check(service: Service, uid: str) -> None:
    if service.dicomweb is None:
        message = "No archive is configured. Start the service with --dicomweb-url."
        raise Problem("not-found", message)
    if not is_uid(uid):
        message = "A Study Instance UID consists of numbers separated by dots, up to 64 characters."
        raise Problem("bad-option", message)
