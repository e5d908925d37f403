"""Serve the kept input images of a job, so that viewers can show results on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from brats_mm_service.auth.callers import Caller
from brats_mm_service.jobs.model import Job
from brats_mm_service.problems import Problem, make_not_found_error
from brats_mm_service.routes.documented import document_problems, document_response
from brats_mm_service.routes.jobs import get_own_view
from brats_mm_service.routes.stored_file import StoredFile, create_zip
from brats_mm_service.schemas import STUDY, make_job_path
from brats_mm_service.service import Service

_EXAMPLE = {
    "sequence": "t1ce",
    "name": "t1ce.nii.gz",
    "size": 2412345,
    "href": "/v1/jobs/h7Qe0m3Jx2vYb1kT9sWcRz5a/inputs/t1ce",
}
_FILE = {"description": "The file", "content": {"application/octet-stream": {"example": "(the bytes of the volume)"}}}


class KeptBody(BaseModel):
    """A kept image."""

    sequence: str
    name: str = Field(description="the sequence with the suffix of the uploaded file")
    size: int = Field(description="bytes")
    href: str


def build_router(service: Service) -> APIRouter:
    """Return the routes under /v1/jobs/{id}/inputs."""
    routes = APIRouter(prefix="/v1/jobs/{job_id}/inputs", tags=["jobs"])
    reader = Depends(service.auth.require_scope("jobs:read"))

    @routes.get(
        "",
        summary="The images of a job that was sent with keep_upload",
        responses=document_problems(401, 403, 404) | document_response([_EXAMPLE], "One per sequence"),
    )
    def list_inputs(job_id: str, caller: Annotated[Caller, reader]) -> list[KeptBody]:
        """Return the kept inputs, if any."""
        job = get_own_view(service, job_id, caller).job
        folder = service.queue.files.upload(job.id)
        try:
            return [
                KeptBody(
                    sequence=sequence,
                    name=name,
                    size=(folder / name).stat().st_size,
                    href=f"{make_job_path(job.id)}/inputs/{sequence}",
                )
                for sequence, name in job.sequences.items()
                if _has_kept_upload(service, job, name)
            ]
        except FileNotFoundError as error:  # deleted meanwhile
            raise make_not_found_error() from error

    @routes.get(
        f"/{STUDY}",
        summary="The DICOM series of a job that was sent with keep_upload, as one zip",
        response_class=StoredFile,
        responses=document_problems(401, 403, 404) | {200: _FILE},
    )
    def read_study(job_id: str, caller: Annotated[Caller, reader]) -> Response:
        """Serve the series that the job used. The zip can be submitted again, for example without one of the series."""
        job = get_own_view(service, job_id, caller).job
        upload = service.queue.files.upload(job.id)
        folders = [upload / name for name in job.sequences.values() if (upload / name).is_dir()]
        if not job.keep_upload or not folders:
            message = "There is no such study. Studies are kept only for DICOM jobs with keep_upload."
            raise Problem("not-found", message)
        path = service.queue.files.locate_kept_study(job.id)
        try:
            if not path.is_file():
                _zip(folders, path)
        except FileNotFoundError as error:  # deleted meanwhile
            raise make_not_found_error() from error
        return StoredFile(path, media_type="application/zip", filename=STUDY)

    @routes.get(
        "/{sequence}",
        summary="One image of a job that was sent with keep_upload",
        response_class=StoredFile,
        responses=document_problems(401, 403, 404) | {200: _FILE},
    )
    def read_input(job_id: str, sequence: str, caller: Annotated[Caller, reader]) -> Response:
        """Serve an image as it was uploaded."""
        job = get_own_view(service, job_id, caller).job
        name = job.sequences.get(sequence)
        if name is None or not _has_kept_upload(service, job, name):
            message = (
                "There is no such image. Images are kept only for jobs with keep_upload, as long as their results."
            )
            raise Problem("not-found", message)
        path = service.queue.files.upload(job.id) / name
        return StoredFile(path, media_type="application/octet-stream", filename=name)

    return routes


def _zip(folders: Sequence[Path], path: Path) -> None:
    """Pack folders without compression, which gains little on DICOM.

    The zip is stored with the job, so slow readers do not cause more copies.
    """
    with create_zip(path) as packed:
        for folder in folders:
            for file in sorted(folder.iterdir()):
                packed.write(file, f"{folder.name}/{file.name}")


def _has_kept_upload(service: Service, job: Job, name: str) -> bool:
    return job.keep_upload and (service.queue.files.upload(job.id) / name).is_file()
