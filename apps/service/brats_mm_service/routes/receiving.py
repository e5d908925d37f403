"""Folders for uploads while they are received."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from brats_mm_service.service import Service


@asynccontextmanager
async def open_incoming_folder(service: Service) -> AsyncIterator[Path]:
    """Yield a folder for received files. Its remaining content is deleted at the end."""
    folder = await asyncio.to_thread(service.queue.files.incoming)
    try:
        yield folder
    finally:
        await asyncio.to_thread(service.queue.files.discard, folder)
