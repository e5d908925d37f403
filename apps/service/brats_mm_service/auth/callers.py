"""Identify callers: by a token, or as `local` if only this machine can connect."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import Request

from brats_mm_service.auth.oidc import OidcIssuer
from brats_mm_service.auth.tokens import DEFAULT_SCOPES, SCOPES, Tokens
from brats_mm_service.problems import Problem
from brats_mm_service.settings import Settings

LOCAL = "local"

BEARER = HTTPBearer(
    scheme_name="token",
    auto_error=False,
    description="A token of `brats-mm token create`, or of the OpenID Connect issuer that the service trusts. "
    "Callers on the machine of the service need no token.",
)
"""Only for the OpenAPI document. `Authenticator` reads the header itself and responds with a problem body."""
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="brats-mm"'}


@dataclass(frozen=True)
class Caller:
    """An authenticated caller. Jobs belong to `name`."""

    name: str
    scopes: tuple[str, ...] = SCOPES


class Authenticator:
    """Identify callers by their requests."""

    def __init__(self, settings: Settings, tokens: Tokens, issuer: OidcIssuer | None) -> None:
        self._open = not settings.needs_tokens
        self._tokens = tokens
        self._issuer = issuer

    def require_scope(self, scope: str) -> Callable[[Request], Awaitable[Caller]]:
        """Return a FastAPI dependency that returns the caller and requires a scope."""

        async def authenticate_caller(request: Request, _: Annotated[object, Depends(BEARER)] = None) -> Caller:
            # Only fetching an issuer's keys may block. Everything else is faster than a thread switch.
            if self._issuer is None:
                authenticated = self.authenticate(request)
            else:
                authenticated = await asyncio.to_thread(self.authenticate, request)
            request.state.caller = authenticated.name
            if scope not in authenticated.scopes:
                raise Problem("forbidden", f"Your token lacks the scope {scope}. Request a token with this scope.")
            return authenticated

        return authenticate_caller

    def authenticate(self, request: Request) -> Caller:
        """Return the caller.

        Raises:
            Problem: a token is required, but is missing or invalid.
        """
        if self._open:
            return Caller(LOCAL)
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text:
            message = "This service needs a token. Send the header `Authorization: Bearer TOKEN`."
            raise Problem("unauthorised", message, _CHALLENGE)
        token = self._tokens.check(text.strip())
        if token is not None:
            return Caller(token.caller, token.scopes)
        name = self._issuer.find_caller(text.strip()) if self._issuer is not None else None
        if name is None:
            message = "The token is unknown, expired or revoked. Ask the operator of the service for a new one."
            raise Problem("unauthorised", message, _CHALLENGE)
        return Caller(f"{self._issuer.name if self._issuer else ''}:{name}", DEFAULT_SCOPES)
