"""Read small bodies within limits, after the caller is known, and parse JSON strictly.

No route lets FastAPI read the body, because it would read any size into memory before checking the token.
"""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from brats_mm_service.problems import Problem
from brats_mm_service.settings import Settings

MAX_DEPTH = 20
"""Maximum nesting depth of a JSON document."""


async def read_small_form(request: Request, most: int, seconds: float) -> dict[str, str]:
    """Return the fields of a url-encoded body, or none for another content type.

    Args:
        request: request whose body has not been read.
        most: maximum size in bytes.
        seconds: time limit for the body.

    Raises:
        Problem: the body is too large, or too slow.
    """
    body = await _read_small_body(request, most, seconds)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise Problem("bad-request", "The body has too many fields.") from error


async def read_small_json(request: Request, settings: Settings) -> dict[str, Any]:
    """Return the JSON object in a body, or an empty object for an empty body.

    Raises:
        Problem: the body is too large or too slow, or not a JSON object.
    """
    body = await _read_small_body(request, settings.uploads.text_bytes, settings.connections.body_s)
    return _parse_object(body.decode("utf-8", "replace"), "The body")


def parse_json_object(text: str | None, name: str) -> dict[str, Any]:
    """Parse a field that contains a JSON object.

    Raises:
        Problem: the field is not a JSON object that can be stored and returned as JSON.
    """
    return _parse_object(text or "", f"The field {name!r}")


async def _read_small_body(request: Request, most: int, seconds: float) -> bytes:
    try:
        return await asyncio.wait_for(_read_body(request, most), seconds)
    except asyncio.TimeoutError as error:
        message = f"The body did not arrive within {seconds:g} s. Send the request again."
        raise Problem("upload-timeout", message, {"Connection": "close"}) from error


async def _read_body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            message = f"The body is larger than {most:,} bytes, the maximum of this service."
            raise Problem("too-large", message, {"Connection": "close"})
    return bytes(body)


def _parse_object(text: str, subject: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.strip() else {}
        is_shallow = _is_shallow(document)
        if is_shallow:
            # Infinity, NaN and halves of surrogate pairs cannot be returned as JSON.
            json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Problem("bad-option", f"{subject} is not JSON. Send a JSON object.") from error
    if not isinstance(document, dict):
        raise Problem("bad-option", f"{subject} must be a JSON object.")
    if not is_shallow:
        raise Problem("bad-option", f"{subject} is nested more than {MAX_DEPTH} levels deep. Send a flatter object.")
    return document


def _is_shallow(document: Any) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
    return not any(isinstance(item, (dict, list)) for item in level)
