"""Deadlines and limits for connections before authentication.

A connection waits until it has sent a complete request (for an upload with a token, the head), and again after each
response. Waiting connections have a deadline that slow data do not extend. If there are too many, the oldest is closed,
so idle connections cannot block callers.
"""

import asyncio
from collections import OrderedDict
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from brats_mm_service.settings import ConnectionLimits, Settings


class _Waiting:
    """Waiting connections, oldest first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._all: OrderedDict[_Connection, None] = OrderedDict()
        self._by_peer: dict[str, OrderedDict[_Connection, None]] = {}

    def add(self, connection: "_Connection") -> None:
        of_peer = self._by_peer.setdefault(connection.peer, OrderedDict())
        of_peer[connection] = self._all[connection] = None
        if len(of_peer) > self._limits.waiting_per_peer:
            next(iter(of_peer)).close()
        if len(self._all) > self._limits.waiting:
            next(iter(self._all)).close()

    def discard(self, connection: "_Connection") -> None:
        self._all.pop(connection, None)
        of_peer = self._by_peer.get(connection.peer)
        if of_peer is not None:
            of_peer.pop(connection, None)
            if not of_peer:
                del self._by_peer[connection.peer]


class _Connection(H11Protocol):
    """A uvicorn connection that is closed if it waits for a request too long."""

    limits: ConnectionLimits
    needs_tokens: bool
    waiting: _Waiting
    peer = ""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_active():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_active():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def close(self) -> None:
        """Close the connection because it has waited too long or there are too many connections."""
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.abort()

    def _is_active(self) -> bool:
        if self.cycle is None or self.cycle.response_complete:
            return False
        return not self.cycle.more_body or self._is_upload()

    def _is_upload(self) -> bool:
        """Return whether the request is an upload, whose body may take longer. Invalid tokens are rejected at once."""
        headers = dict(self.headers)
        is_known = not self.needs_tokens or b"authorization" in headers
        return is_known and headers.get(b"content-type", b"").startswith(b"multipart/")

    def _wait(self) -> None:
        if self.transport.is_closing():
            return
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.limits.waiting_s, self.close)
        self.waiting.add(self)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.waiting.discard(self)


def build_server_config(app: Any, settings: Settings, **values: Any) -> Config:
    """Return uvicorn's configuration with limited connections."""
    limits = settings.connections
    shared = {"limits": limits, "needs_tokens": settings.needs_tokens, "waiting": _Waiting(limits)}
    protocol = type("Connection", (_Connection,), shared)
    return Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=int(limits.waiting_s),
        h11_max_incomplete_event_size=64 * 1024,
        proxy_headers=False,
        backlog=2048,
        **values,
    )
