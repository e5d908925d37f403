"""Receive forms of viewers, within the same limits as other uploads."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request

from brats_mm_service.auth.callers import Caller
from brats_mm_service.bodies import small_form
from brats_mm_service.routes.documented import Answers, problems
from brats_mm_service.routes.jobs import check_room, too_many
from brats_mm_service.service import Service
from brats_mm_service.uploads.multipart import Form, receive_form
from brats_mm_service.uploads.slots import NoSlot

VIEWER_PROBLEMS: Answers = problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507)

_VOLUME = {"type": "string", "format": "binary", "description": "a volume: .nii.gz, .nii, .nrrd or .mha"}
_TEXT = {"type": "string", "contentMediaType": "application/json", "description": "options, as a JSON object"}


@asynccontextmanager
async def incoming(service: Service) -> AsyncIterator[Path]:
    """Yield a folder for received files. Its remaining content is deleted at the end."""
    folder = await asyncio.to_thread(service.queue.files.incoming)
    try:
        yield folder
    finally:
        await asyncio.to_thread(service.queue.files.discard, folder)


async def receive_viewer_form(
    service: Service, request: Request, caller: Caller, folder: Path, *, files: Collection[str], texts: Collection[str]
) -> Form:
    """Receive a viewer's form into `folder`: multipart, or without files also url-encoded or empty.

    Args:
        service: the service, whose upload slots and limits apply.
        request: request whose body has not been read.
        caller: the authenticated caller.
        folder: existing folder for the files.
        files: allowed names of file parts.
        texts: allowed names of text parts.

    Raises:
        Problem: the body is invalid or exceeds a limit, or nothing can be accepted now.
        OSError: the disk is full.
    """
    await asyncio.to_thread(check_room, service, caller.name)
    if not request.headers.get("content-type", "").startswith("multipart/"):
        fields = await small_form(request, service.settings.uploads.text_bytes, service.settings.connections.body_s)
        return Form((), {name: text for name, text in fields.items() if name in texts})
    try:
        with service.uploads.held(caller.name):
            return await receive_form(request, folder, service.settings.uploads, files=files, texts=texts)
    except NoSlot as full:
        raise too_many(service, str(full)) from full


def form_body(*files: str, texts: Collection[str] = (), many: bool = False, required: bool = False) -> dict[str, Any]:
    """Return the `requestBody` of a route that takes a form.

    Args:
        files: names of file parts.
        texts: names of text parts.
        many: whether a file part may be repeated.
        required: whether the body is required.
    """
    volume = {"type": "array", "items": _VOLUME} if many else _VOLUME
    properties = {**dict.fromkeys(files, volume), **dict.fromkeys(texts, _TEXT)}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = list(files)
    return {"requestBody": {"required": required, "content": {"multipart/form-data": {"schema": schema}}}}


def shown(example: Any, description: str = "Response as in MONAI Label") -> Answers:
    """Return the documentation of a route's 200 response, with an example.

    Args:
        example: example of the response.
        description: description of the response.
    """
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}
