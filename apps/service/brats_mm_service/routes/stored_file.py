"""Serve files that another request may create or delete at the same time."""

import os
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from brats_mm_service.problems import Problem


class StoredFile(FileResponse):
    """Response with a file that is opened before the response starts.

    If it is deleted before it is opened, the response is a 404. If it is deleted afterwards, it is still served
    completely.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            handle = await run_in_threadpool(os.open, self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Problem("not-found", "The file was deleted during the request.") from error
        try:
            path: Any = f"/dev/fd/{handle}"
            self.path = path
            await super().__call__(scope, receive, send)
        finally:
            os.close(handle)


@contextmanager
def create_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Yield an uncompressed zip to fill. It appears under `path` at the end, complete."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as packed:
            yield packed
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
