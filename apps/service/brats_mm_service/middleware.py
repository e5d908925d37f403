"""Middleware: checks of host and origin, security headers, metrics and a log line per request."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brats_mm_service.audit import AuditLog
from brats_mm_service.logs import log
from brats_mm_service.metrics import Metrics
from brats_mm_service.problems import Problem, make_problem_response
from brats_mm_service.settings import Settings, is_loopback

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, audit: AuditLog) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._audit = audit
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        refusal = self._find_refusal(scope)
        sending = self._log_when_finished(scope, self._add_deadline(send), start)
        if refusal is not None:
            await make_problem_response(refusal)(scope, receive, sending)
            return
        self._active += 1
        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            log("client_disconnected")
        finally:
            self._active -= 1

    def _add_deadline(self, send: Send) -> Send:
        async def send_in_time(message: Message) -> None:
            try:
                await asyncio.wait_for(send(message), self._settings.connections.sending_s)
            except asyncio.TimeoutError:
                raise ClientDisconnect from None  # the client does not read the response, so the connection is closed

        return send_in_time

    def _find_refusal(self, scope: Scope) -> Problem | None:
        """Return why a request is rejected, or None.

        Other web pages must not reach a service on this machine through the user's browser.
        """
        headers = Headers(scope=scope)
        if self._active >= self._settings.connections.active:
            message = f"{self._active} requests are active, the maximum of this service. Try again in a few seconds."
            return Problem("unavailable", message, {"Retry-After": "5"})
        host = _extract_host(headers.get("host", ""))
        if not self._settings.needs_tokens and not is_loopback(host) and host not in self._settings.allowed_hosts:
            message = "This host name is not allowed. Use 127.0.0.1, or allow the name with --allow-host."
            return Problem("misdirected", message)
        origin = headers.get("origin")
        if origin is None or scope["method"] in _SAFE_METHODS or origin in self._settings.allowed_origins:
            return None
        if urlsplit(origin).netloc == headers.get("host"):
            return None
        message = "Web pages of other origins may not call this service. Allow the page's origin with --allow-origin."
        return Problem("forbidden", message)

    def _log_when_finished(self, scope: Scope, send: Send, start: float) -> Callable[[Message], Awaitable[None]]:
        async def finish(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                self._log_request(scope, message["status"], time.perf_counter() - start)
            await send(message)

        return finish

    def _log_request(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        job = scope.get("path_params", {}).get("job_id")
        method = scope["method"] if scope["method"] in (*_SAFE_METHODS, "POST", "PUT", "DELETE") else "other"
        self._metrics.requests.labels(method, route, str(status)).observe(seconds)
        # The route's template, never the path, which can contain any input.
        fields = {"job": job} if job is not None and status < 400 else {}
        log("request", method=method, route=route, status=status, seconds=round(seconds, 4), **fields)
        state = scope.get("state", {})
        if "caller" in state:
            self._audit.note(state["caller"], method, route, status, job=state.get("job", fields.get("job")))


def _extract_host(header: str) -> str:
    host = header.rsplit(":", 1)[0] if header.rpartition(":")[2].isdecimal() else header
    return host.strip("[]").lower()
