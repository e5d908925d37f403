"""Show the table of `brats-mm inspect` for a case before a job is submitted."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from brats_mm.pipeline.dicom_study import SeriesOverrides
from brats_mm_service.auth.callers import Caller
from brats_mm_service.problems import Problem
from brats_mm_service.routes.documented import document_form, document_problems, document_response
from brats_mm_service.routes.jobs import check_room, parse_options
from brats_mm_service.routes.receiving import open_incoming_folder
from brats_mm_service.service import Service
from brats_mm_service.uploads.intake import CASE
from brats_mm_service.uploads.multipart import Form, receive_form
from brats_mm_service.workers.checker import UploadChecker

_TABLE: dict[str, Any] = {"kind": "DICOM", "patients": 1, "studies": [], "problems": []}


def build_router(service: Service) -> APIRouter:
    """Return the route /v1/inspect."""
    routes = APIRouter(prefix="/v1", tags=["jobs"])
    writer = Depends(service.auth.require_scope("jobs:write"))

    @routes.post(
        "/inspect",
        summary="Inspect a zip of a case: its series or files, and those that a job would use",
        responses=document_response(_TABLE, "The output of `brats-mm inspect --json`")
        | document_problems(400, 401, 403, 408, 413, 415, 422, 429, 503, 507),
        openapi_extra=document_form(CASE, texts=("options",), required=(CASE,)),
    )
    async def inspect(request: Request, caller: Annotated[Caller, writer]) -> dict[str, Any]:
        """Read names and headers of the zip. Nothing is computed or kept."""
        await asyncio.to_thread(check_room, service, caller.name)
        with service.uploads.held(caller.name):
            async with open_incoming_folder(service) as folder:
                form = await receive_form(request, folder, service.settings.uploads, files=(CASE,), texts=("options",))
                return await asyncio.to_thread(inspect_upload, form, folder, service.checker)

    return routes


def inspect_upload(form: Form, folder: Path, checker: UploadChecker) -> dict[str, Any]:
    """Return the table of `brats-mm inspect` for a received zip.

    Raises:
        Problem: there is no zip, or it contains nothing to inspect.
    """
    if len(form.files) != 1:
        raise Problem("bad-case", "Send one zip of a case folder in the form field 'case'.")
    request = parse_options(form.texts.get("options")).request()
    overrides = SeriesOverrides(request.series, request.study, request.bids)
    return checker.inspect_zip(form.files[0].path, folder, overrides)
