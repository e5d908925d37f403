"""Exchange bytes with a service: a protocol, so that tests need no network, and a standard-library implementation."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from BratsMMLib.failures import Unreachable

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Request:
    """A request to a service."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] | None = None


class Answer(Protocol):
    """Response of a service, which can be read once."""

    status: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in chunks."""
        ...


class Transport(Protocol):
    """Sends a request. The response can be read inside the `with` block."""

    def send(self, request: Request) -> AbstractContextManager[Answer]:
        """Send a request, and wait for the start of the response."""
        ...


@dataclass
class _HttpAnswer:
    status: int
    stream: http.client.HTTPResponse

    def chunks(self) -> Iterator[bytes]:
        while piece := self.stream.read(1 << 18):
            yield piece


class HttpTransport:
    """HTTP, or HTTPS with verified certificates, by the standard library. Ignores proxies of the environment."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s

    @contextmanager
    def send(self, request: Request) -> Iterator[Answer]:
        """Send a request, and wait for the start of the response.

        Raises:
            Unreachable: there is no service at the address, or it stopped responding.
        """
        place = urlsplit(request.url)
        connection = self._connection(place.scheme, place.hostname or "", place.port)
        path = f"{place.path}?{place.query}" if place.query else place.path
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may respond before reading everything
                connection.request(request.method, path, body=request.body, headers=dict(request.headers))
            response = connection.getresponse()
            yield _HttpAnswer(response.status, response)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"The service at {place.scheme}://{place.netloc} does not respond ({error or type(error).__name__}). "
                "Check the address, and that `brats-mm serve` runs there."
            ) from error
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self.timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self.timeout_s)
