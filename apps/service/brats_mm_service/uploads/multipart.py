"""Stream multipart bodies to disk, checking sizes, counts and speed on arrival."""

import asyncio
import hashlib
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from brats_mm_service.problems import Problem
from brats_mm_service.settings import MIB, UploadLimits

_FLUSH_BYTES = MIB
_MAX_NAME_LENGTH = 255
_MAX_HEADER_BYTES = 64 * 1024
"""Maximum total size in bytes of the headers of all parts, which are held in memory."""
_DISK_CHECK_BYTES = 16 * MIB
_MAX_QUEUED = 4
"""Number of chunks that may wait to be hashed and written."""


@dataclass(frozen=True)
class ReceivedFile:
    """A file part on disk, under a generated name.

    Attributes:
        field: name of the part.
        filename: the sender's name, never used as a path.
        path: path on disk.
        size, sha256: size and hash of its bytes.
    """

    field: str
    filename: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Form:
    """Content of a multipart body."""

    files: tuple[ReceivedFile, ...]
    texts: dict[str, str]


@dataclass
class _Part:
    """A part being received."""

    name: str = ""
    filename: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)
    size: int = 0
    path: Path | None = None
    stream: IO[bytes] | None = None
    digest: Any = field(default_factory=hashlib.sha256)

    def store(self, data: bytearray) -> None:
        """Write and hash a piece."""
        assert self.stream is not None
        self.digest.update(data)
        self.stream.write(data)

    def stored(self) -> ReceivedFile:
        """Return the completely written file."""
        assert self.stream is not None
        assert self.path is not None
        self.stream.close()
        name = (self.filename or "")[:_MAX_NAME_LENGTH]
        return ReceivedFile(self.name, name, self.path, self.size, self.digest.hexdigest())


class _Receiver:
    """Callbacks of the parser, which turn parts into files and texts within the limits."""

    def __init__(self, folder: Path, limits: UploadLimits, files: Collection[str], texts: Collection[str]) -> None:
        self._folder, self._limits = folder, limits
        self._file_fields, self._text_fields = files, texts
        self._header = (bytearray(), bytearray())
        self._header_bytes = 0
        self._parts = 0
        self._open: list[IO[bytes]] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="upload")  # one thread keeps the order of the pieces
        self._behind: deque[Future[None]] = deque()
        self.part: _Part | None = None
        self.files: list[Future[ReceivedFile]] = []
        self.texts: dict[str, str] = {}
        self.ended = False

    def callbacks(self) -> Any:
        """Return the callbacks that the parser expects."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_header_piece(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header_piece(1, data[start:end]),
            "on_header_end": self._finish_header,
            "on_headers_finished": self._finish_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._finish_part,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise Problem(
                "too-large", f"The body has more than {self._limits.parts} parts, the maximum of this service."
            )
        self.part = _Part()

    def _add_header_piece(self, which: int, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > _MAX_HEADER_BYTES:
            message = f"The parts have more than {_MAX_HEADER_BYTES:,} bytes of headers, the maximum of this service."
            raise Problem("too-large", message)
        self._header[which].extend(data)

    def _finish_header(self) -> None:
        assert self.part is not None
        name, value = self._header
        self.part.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")
        self._header = (bytearray(), bytearray())

    def _finish_headers(self) -> None:
        part = self.part
        assert part is not None
        _, options = parse_options_header(
            part.headers.get("content-disposition", "").encode()
        )  # file names can use any script
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            part.filename = options[b"filename"].decode("utf-8", "replace")
        allowed_fields = self._file_fields if part.filename is not None else self._text_fields
        if part.name not in allowed_fields:
            raise _make_unknown_part_error(part, self._file_fields, self._text_fields)
        if part.filename is not None:
            part.path = self._folder / f"part-{self._parts}"
            part.stream = part.path.open("xb")
            self._open.append(part.stream)

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        part = self.part
        assert part is not None
        part.size += end - start
        limit = self._limits.text_bytes if part.path is None else self._limits.file_bytes
        if part.size > limit:
            message = f"The form field {part.name!r} is larger than {_format_size(limit)}, the maximum of this service."
            raise Problem("too-large", message)
        part.buffer += data[start:end]

    def _finish_part(self) -> None:
        part = self.part
        assert part is not None
        if part.path is None:
            if part.name in self.texts:
                raise Problem("bad-request", f"The form field {part.name!r} was sent twice. Send it once.")
            self.texts[part.name] = part.buffer.decode("utf-8", "replace")
        else:
            self._hand_over(part)
            self.files.append(self._writer.submit(part.stored))
        self.part = None

    def _finish(self) -> None:
        self.ended = True

    def _hand_over(self, part: _Part) -> None:
        self._behind.append(self._writer.submit(part.store, part.buffer))
        part.buffer = bytearray()

    async def keep_up(self) -> None:
        """Write the buffered bytes. Waits if writing is slower than receiving."""
        if self.part is not None and self.part.path is not None and len(self.part.buffer) >= _FLUSH_BYTES:
            self._hand_over(self.part)
        while len(self._behind) > _MAX_QUEUED:
            await asyncio.wrap_future(self._behind.popleft())

    async def received(self) -> tuple[ReceivedFile, ...]:
        """Return all files after they were written."""
        for piece in self._behind:
            await asyncio.wrap_future(piece)
        return tuple([await asyncio.wrap_future(file) for file in self.files])

    def close(self) -> None:
        """Stop writing and close open files."""
        self._writer.shutdown(cancel_futures=True)
        for stream in self._open:
            stream.close()


async def receive_form(
    request: Request, folder: Path, limits: UploadLimits, *, files: Collection[str], texts: Collection[str]
) -> Form:
    """Receive a multipart body. Files go to `folder` under generated names.

    Args:
        request: request whose body has not been read.
        folder: existing folder, which the caller removes.
        limits: limits of sizes, counts and speed.
        files: allowed names of file parts.
        texts: allowed names of text parts.

    Raises:
        Problem: the body is invalid or exceeds a limit.
        OSError: the disk is full.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise Problem(
            "unsupported-content", ("Send the files as multipart/form-data, for example with `curl -F t1ce=@FILE`.")
        )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.total_bytes:
        raise _make_too_large_error(limits)
    receiver = _Receiver(folder, limits, files, texts)
    try:
        parser = MultipartParser(options[b"boundary"], receiver.callbacks())
        async for chunk in _iterate_chunks(request, folder, limits):
            parser.write(chunk)
            await receiver.keep_up()
        parser.finalize()
        received = await receiver.received()
    except FormParserError as error:
        raise Problem("bad-request", f"The multipart body is malformed ({error}). Send it again.") from error
    finally:
        receiver.close()
    if not receiver.ended:
        raise Problem("bad-request", "The multipart body ended early. Send it again.")
    return Form(received, receiver.texts)


async def _iterate_chunks(request: Request, folder: Path, limits: UploadLimits) -> AsyncIterator[bytes]:
    """Yield the body's chunks if they arrive fast enough and within the limit."""
    total, checked, end = 0, 0, time.monotonic() + limits.total_s
    stream = request.stream()
    while True:
        patience = min(limits.idle_s, end - time.monotonic())
        try:
            chunk = await asyncio.wait_for(anext(stream), max(patience, 0.001))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            message = (
                f"The upload stalled or took too long: a pause of {limits.idle_s:g} s or {limits.total_s:g} s in "
                "total is the limit of this service. Send it again over a faster connection."
            )
            raise Problem("upload-timeout", message, {"Connection": "close"}) from error
        except ClientDisconnect as error:
            raise Problem("bad-request", "The sender disconnected during the upload.") from error
        total += len(chunk)
        if total > limits.total_bytes:
            raise _make_too_large_error(limits)
        if total - checked > _DISK_CHECK_BYTES:  # other uploads also use the disk
            checked = total
            if shutil.disk_usage(folder).free < limits.free_bytes:
                raise Problem("disk-full", "The service's disk is nearly full. Delete jobs that you no longer need.")
        yield chunk


def _make_unknown_part_error(part: _Part, files: Collection[str], texts: Collection[str]) -> Problem:
    if part.filename is None and part.name in files:
        return Problem(
            "bad-request",
            f"The form field {part.name!r} was sent as text, but must be a file. Send it as a file, for example with "
            f"`curl -F {part.name}=@FILE`.",
        )
    if part.filename is not None and part.name in texts:
        return Problem(
            "bad-request",
            f"The form field {part.name!r} was sent as a file, but must be text. Send it without a file name.",
        )
    fields_text = ", ".join([*files, *texts])
    return Problem("bad-request", f"Unknown form field {part.name[:80]!r}. Use {fields_text}.")


def _make_too_large_error(limits: UploadLimits) -> Problem:
    return Problem(
        "too-large", f"The request is larger than {_format_size(limits.total_bytes)}, the maximum of this service."
    )


def _format_size(size: int) -> str:
    return f"{size / MIB:,.0f} MiB" if size >= MIB else f"{size:,} bytes"
