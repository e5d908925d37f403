"""A multipart form whose files are read from disk while it is sent, so no volume is held in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 18


@dataclass(frozen=True)
class Form:
    """Multipart form with files and texts. Files are named after their sequence, not after the original file.

    Attributes:
        files: local file of each field. Its name is not sent.
        texts: text of each field.
        boundary: boundary between parts.
    """

    files: Mapping[str, Path]
    texts: Mapping[str, str]
    boundary: str

    @classmethod
    def create(cls, files: Mapping[str, Path], texts: Mapping[str, str] | None = None) -> Form:
        """Return a form with a new boundary."""
        return cls(files, dict(texts or {}), f"----brats-mm-{secrets.token_hex(16)}")

    @property
    def content_type(self) -> str:
        """Return the value of the Content-Type header."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def length(self) -> int:
        """Return the length of the body in bytes."""
        texts = sum(len(self._encode_text(field, value)) for field, value in self.texts.items())
        heads = sum(len(self._head(field, path)) + 2 for field, path in self.files.items())
        return texts + heads + sum(path.stat().st_size for path in self.files.values()) + len(self._end())

    def chunks(self, on_sent: Callable[[int, int], None] | None = None) -> Iterator[bytes]:
        """Yield the body in chunks, calling `on_sent(bytes so far, total bytes)` after each."""
        sent, total = 0, self.length
        for piece in self._pieces():
            yield piece
            sent += len(piece)
            if on_sent is not None:
                on_sent(sent, total)

    def _pieces(self) -> Iterator[bytes]:
        for field, value in self.texts.items():
            yield self._encode_text(field, value)
        for field, path in self.files.items():
            yield self._head(field, path)
            with path.open("rb") as stream:
                while piece := stream.read(CHUNK):
                    yield piece
            yield b"\r\n"
        yield self._end()

    def _encode_text(self, field: str, value: str) -> bytes:
        return f'--{self.boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()

    def _head(self, field: str, path: Path) -> bytes:
        name = f"{field}{_suffix(path)}"
        disposition = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
        return f"--{self.boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()

    def _end(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()


def _suffix(path: Path) -> str:
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
