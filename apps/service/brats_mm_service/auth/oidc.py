"""Validate access tokens of an OpenID Connect issuer: signature, audience and expiry."""

import json
import threading
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from brats_mm_service.logs import log
from brats_mm_service.settings import OidcSettings, is_loopback

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Public-key signatures only. With HS256, a public key could be used as a shared secret."""

_TIMEOUT_S = 5
_FRESH_S = 600.0
_RETRY_S = 10.0
_MAX_BYTES = 1 << 20


class OidcIssuer:
    """An OpenID Connect issuer and its keys. Authentication contacts no other network address."""

    def __init__(self, settings: OidcSettings) -> None:
        self.name = settings.issuer.rstrip("/")
        self._settings = settings
        self._keys: dict[str, Any] = {}
        self._fetched = float("-inf")
        self._lock = threading.Lock()

    def find_caller(self, text: str) -> str | None:
        """Return the caller named by a token, or None if the token is invalid."""
        import jwt

        try:
            header = jwt.get_unverified_header(text)
            key = self._find_key(str(header.get("kid", "")))
            if key is None or header.get("alg") not in ALGORITHMS:
                return None
            claims = jwt.decode(
                text,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options={"require": ["exp", "iss", "aud", "sub"]},
                leeway=30,
            )
        except jwt.PyJWTError:
            return None
        name = claims["sub"]
        return name if isinstance(name, str) and 0 < len(name) <= 200 else None

    def _find_key(self, kid: str) -> Any:
        """Return the issuer's key with that ID. Fetches the keys again for an unknown ID, but not on every call.

        Only one thread fetches. The others continue with the known keys, so unknown IDs do not delay them.
        """
        with self._lock:
            age_s = time.monotonic() - self._fetched
            is_due = age_s > _FRESH_S or (kid not in self._keys and age_s > _RETRY_S)
            if is_due:
                self._fetched = time.monotonic()
                if not self._keys:
                    self._refresh()
                    is_due = False
        if is_due:
            self._refresh()
        return self._keys.get(kid)

    def _refresh(self) -> None:
        try:
            self._keys = self._fetch()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log("oidc_keys", level="error", error=type(error).__name__)

    def _fetch(self) -> dict[str, Any]:
        import jwt

        where = self._settings.jwks or _fetch_document(f"{self.name}/.well-known/openid-configuration")["jwks_uri"]
        keys = {}
        for key in _fetch_document(where)["keys"]:
            try:
                keys[str(key.get("kid", ""))] = jwt.PyJWK(key).key
            except jwt.PyJWTError:  # noqa: PERF203 (a key of an unknown type)
                log("oidc_key_skipped", level="warning")
        return keys


def _fetch_document(url: str) -> Any:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ValueError(f"{url} is not an https address")
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
        return json.loads(response.read(_MAX_BYTES))
