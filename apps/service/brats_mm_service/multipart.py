"""Multipart bodies, streamed to disk: sizes, counts and pace are checked while the bytes come in."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from brats_mm_service.problems import Problem
from brats_mm_service.settings import MIB, UploadLimits

_FLUSH_BYTES = MIB
_LONGEST_NAME = 255


@dataclass(frozen=True)
class ReceivedFile:
    """A file part on disk, under a name of ours.

    Attributes:
        field: the part's name.
        filename: what the sender calls it; never a place to write to.
        path: where it is.
        size, sha256: of its bytes.
    """

    field: str
    filename: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Form:
    """What a multipart body held."""

    files: tuple[ReceivedFile, ...]
    texts: dict[str, str]


@dataclass
class _Part:
    """A part while it comes in."""

    name: str = ""
    filename: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)
    size: int = 0
    path: Path | None = None
    stream: IO[bytes] | None = None
    digest: Any = field(default_factory=hashlib.sha256)

    def flush(self) -> None:
        """Write what has gathered."""
        if self.stream is not None and self.buffer:
            self.digest.update(self.buffer)
            self.stream.write(self.buffer)
            self.buffer.clear()


class _Receiver:
    """The parser's callbacks: parts become files and texts within the limits."""

    def __init__(self, folder: Path, limits: UploadLimits, files: Collection[str], texts: Collection[str]) -> None:
        self._folder, self._limits = folder, limits
        self._file_fields, self._text_fields = files, texts
        self._header = (bytearray(), bytearray())
        self._parts = 0
        self.part: _Part | None = None
        self.files: list[ReceivedFile] = []
        self.texts: dict[str, str] = {}
        self.ended = False

    def callbacks(self) -> Any:
        """As the parser wants them."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_done,
            "on_headers_finished": self._headers_done,
            "on_part_data": self._data,
            "on_part_end": self._part_done,
            "on_end": self._all_done,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise Problem("too-large", f"The body has more than {self._limits.parts} parts, the most allowed here.")
        self.part = _Part()

    def _header_done(self) -> None:
        assert self.part is not None
        name, value = self._header
        self.part.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")
        self._header = (bytearray(), bytearray())

    def _headers_done(self) -> None:
        part = self.part
        assert part is not None
        _, options = parse_options_header(part.headers.get("content-disposition", "").encode())  # names in any script
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            part.filename = options[b"filename"].decode("utf-8", "replace")
        known = self._file_fields if part.filename is not None else self._text_fields
        if part.name not in known:
            raise _unknown_part(part, self._file_fields, self._text_fields)
        if part.filename is not None:
            part.path = self._folder / f"part-{self._parts}"
            part.stream = part.path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self.part
        assert part is not None
        part.size += end - start
        limit = self._limits.text_bytes if part.path is None else self._limits.file_bytes
        if part.size > limit:
            what = f"The part {part.name!r} is larger than {_shown(limit)}, the most allowed here."
            raise Problem("too-large", what)
        part.buffer += data[start:end]

    def _part_done(self) -> None:
        part = self.part
        assert part is not None
        if part.path is None:
            if part.name in self.texts:
                raise Problem("bad-request", f"The part {part.name!r} was sent twice. Send it once.")
            self.texts[part.name] = part.buffer.decode("utf-8", "replace")
        else:
            part.flush()
            self.close()
            name = (part.filename or "")[:_LONGEST_NAME]
            self.files.append(ReceivedFile(part.name, name, part.path, part.size, part.digest.hexdigest()))
        self.part = None

    def _all_done(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close the file that is being written."""
        if self.part is not None and self.part.stream is not None:
            self.part.stream.close()


async def receive_form(
    request: Request, folder: Path, limits: UploadLimits, *, files: Collection[str], texts: Collection[str]
) -> Form:
    """Receive a multipart body; files go to `folder`, under names that the sender has no say in.

    Args:
        request: whose body was not read yet.
        folder: exists, and is the caller's to remove.
        limits: for sizes, counts and pace.
        files: names of file parts that are allowed.
        texts: names of text parts that are allowed.

    Raises:
        Problem: the body is not what it must be, or beyond a limit.
        OSError: the disk is full.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise Problem("unsupported-content", "Send the files as multipart/form-data, as `curl -F t1ce=@FILE` does.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.total_bytes:
        raise _body_too_large(limits)
    receiver = _Receiver(folder, limits, files, texts)
    try:
        parser = MultipartParser(options[b"boundary"], receiver.callbacks())
        async for chunk in _chunks(request, limits):
            parser.write(chunk)
            if receiver.part is not None and receiver.part.path and len(receiver.part.buffer) >= _FLUSH_BYTES:
                await asyncio.to_thread(receiver.part.flush)
        parser.finalize()
    except FormParserError as error:
        raise Problem("bad-request", f"The multipart body is malformed ({error}). Send it again.") from error
    finally:
        receiver.close()
    if not receiver.ended:
        raise Problem("bad-request", "The multipart body ended early. Send it again.")
    return Form(tuple(receiver.files), receiver.texts)


async def _chunks(request: Request, limits: UploadLimits) -> AsyncIterator[bytes]:
    """The body's pieces, while they come fast enough and are not too many."""
    total, end = 0, time.monotonic() + limits.total_s
    stream = request.stream()
    while True:
        patience = min(limits.idle_s, end - time.monotonic())
        try:
            chunk = await asyncio.wait_for(anext(stream), max(patience, 0.001))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            message = (
                f"The upload stalled or took too long: a pause of {limits.idle_s:g} s or {limits.total_s:g} s in all "
                "is the most allowed here. Send it again over a faster line."
            )
            raise Problem("upload-timeout", message, {"Connection": "close"}) from error
        except ClientDisconnect as error:
            raise Problem("bad-request", "The sender went away during the upload.") from error
        total += len(chunk)
        if total > limits.total_bytes:
            raise _body_too_large(limits)
        yield chunk


def _unknown_part(part: _Part, files: Collection[str], texts: Collection[str]) -> Problem:
    if part.filename is None and part.name in files:
        return Problem(
            "bad-request", f"The part {part.name!r} must be a file, as `curl -F {part.name}=@FILE` sends it."
        )
    if part.filename is not None and part.name in texts:
        return Problem("bad-request", f"The part {part.name!r} must be text, not a file.")
    named = ", ".join([*files, *texts])
    return Problem("bad-request", f"There is no part named {part.name[:80]!r}; the parts may be named {named}.")


def _body_too_large(limits: UploadLimits) -> Problem:
    return Problem("too-large", f"The request is larger than {_shown(limits.total_bytes)}, the most allowed here.")


def _shown(size: int) -> str:
    return f"{size / MIB:,.0f} MiB" if size >= MIB else f"{size:,} bytes"
