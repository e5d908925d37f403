"""Receive forms of viewers, within the same limits as other uploads."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from brats_mm_service.auth.callers import Caller
from brats_mm_service.problems import Problem
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


async def small_form(request: Request, most: int, seconds: float) -> dict[str, str]:
    """Return the fields of a url-encoded body. Empty for another content type.

    Args:
        request: request whose body has not been read.
        most: largest size in bytes.
        seconds: time limit for the body.

    Raises:
        Problem: the body is too large, or too slow.
    """
    try:
        body = await asyncio.wait_for(_body(request, most), seconds)
    except asyncio.TimeoutError as error:
        message = f"The body did not arrive within {seconds:g} s. Send the request again."
        raise Problem("upload-timeout", message, {"Connection": "close"}) from error
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise Problem("bad-request", "The body has too many fields.") from error


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise Problem("too-large", f"The body is larger than {most:,} bytes, the maximum of this service.")
    return bytes(body)


def json_object(text: str | None, name: str) -> dict[str, Any]:
    """Parse a field that contains a JSON object.

    Raises:
        Problem: the field is not a JSON object.
    """
    try:
        document = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Problem("bad-option", f"The field {name!r} is not JSON. Send a JSON object.") from error
    if not isinstance(document, dict):
        raise Problem("bad-option", f"The field {name!r} must be a JSON object.")
    return document


def form_body(*files: str, texts: Collection[str] = (), many: bool = False, required: bool = False) -> dict[str, Any]:
    """Return the `requestBody` of a route that takes a form."""
    volume = {"type": "array", "items": _VOLUME} if many else _VOLUME
    properties = {**dict.fromkeys(files, volume), **dict.fromkeys(texts, _TEXT)}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = list(files)
    return {"requestBody": {"required": required, "content": {"multipart/form-data": {"schema": schema}}}}


def shown(example: Any, description: str = "Response as in MONAI Label") -> Answers:
    """Return the documentation of a route's 200 response, with an example."""
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}
