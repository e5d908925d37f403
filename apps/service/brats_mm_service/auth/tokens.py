"""Tokens of callers: shown once, stored as hashes, with scopes, expiry and revocation."""

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brats_mm.errors import OptionError
from brats_mm_service.database import Database

MODELS = "models:write"
"""Scope to train, and to activate a version of the model for all callers."""

SCOPES = ("jobs:read", "jobs:write", "metrics", MODELS)
DEFAULT_SCOPES = ("jobs:read", "jobs:write", "metrics")
"""Default scopes of a token."""

RESERVED = ("local", "dicomweb")
"""Reserved names: the owner of jobs without tokens, and of studies found by polling."""
_PREFIX = "bmm"
_CALLER = re.compile(r"[A-Za-z0-9._@-]{1,64}")


@dataclass(frozen=True)
class Token:
    """A token without its secret. Times are seconds since 1970."""

    id: str
    caller: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None
    revoked: float | None


class Tokens:
    """Tokens in the database."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def create(
        self, caller: str, scopes: Sequence[str] = DEFAULT_SCOPES, days: float | None = None
    ) -> tuple[Token, str]:
        """Create a token for a caller.

        Args:
            caller: name of the caller, 1 to 64 letters, digits and any of `. _ @ -`.
            scopes: scopes of the token.
            days: days until the token expires. None means never.

        Returns:
            The token, and the text for the caller to send, which is not stored.

        Raises:
            OptionError: the name, a scope or the expiry is invalid.
        """
        if not _CALLER.fullmatch(caller):
            raise OptionError(f"The caller's name is {caller!r}. Use 1 to 64 letters, digits, and any of . _ @ -")
        if caller in RESERVED:
            raise OptionError(f"The name {caller} is reserved. Choose another name for the caller.")
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise OptionError(f"Unknown scope {', '.join(unknown) or 'given'}. Choose from {', '.join(SCOPES)}.")
        if days is not None and days <= 0:
            raise OptionError(f"The token would expire after {days:g} days. Use a positive number.")
        created = self._now()
        token = Token(
            secrets.token_hex(4), caller, tuple(scopes), created, None if days is None else created + days * 86400, None
        )
        # A fast hash is enough for 256 random bits. Only passwords need a slow one.
        secret = secrets.token_urlsafe(32)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO tokens (id, caller, digest, scopes, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
                (token.id, caller, _compute_digest(secret), " ".join(scopes), token.created, token.expires),
            )
        return token, f"{_PREFIX}_{token.id}_{secret}"

    def all(self) -> list[Token]:
        """Return all tokens, oldest first."""
        rows = self._database.read("SELECT * FROM tokens ORDER BY created")
        return [_to_token(row) for row in rows]

    def has_valid_token(self) -> bool:
        """Return whether any token is valid."""
        return any(self._is_valid(token) for token in self.all())

    def revoke(self, token_id: str) -> Token:
        """Revoke a token at once.

        Raises:
            OptionError: the token does not exist or is already revoked.
        """
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL", (self._now(), token_id)
            )
        matches = [token for token in self.all() if token.id == token_id]
        if not matches:
            raise OptionError(f"There is no token {token_id!r}. `brats-mm token list` lists all tokens.")
        return matches[0]

    def check(self, text: str) -> Token | None:
        """Return a caller's token if it is valid."""
        prefix, _, key = text.partition("_")
        token_id, _, secret = key.partition("_")
        row = self._database.connection().execute("SELECT * FROM tokens WHERE id = ?", (token_id,)).fetchone()
        expected = row["digest"] if row is not None else _compute_digest("")
        is_valid = hmac.compare_digest(expected, _compute_digest(secret)) and prefix == _PREFIX
        token = _to_token(row) if row is not None and is_valid and secret else None
        return token if token is not None and self._is_valid(token) else None

    def _is_valid(self, token: Token) -> bool:
        return token.revoked is None and (token.expires is None or token.expires > self._now())


def write_first_token(tokens: Tokens, path: Path) -> bool:
    """Create a token of the caller `first` if there is no valid one, in a file that only its owner can read.

    Returns:
        Whether a token was created.

    Raises:
        OptionError: the file cannot be written.
    """
    if tokens.has_valid_token():
        return False
    try:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise OptionError(
            f"The first token cannot be written to {path}: {error.strerror}. Provide another file."
        ) from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(tokens.create("first")[1] + "\n")
    return True


def _compute_digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _to_token(row: sqlite3.Row) -> Token:
    return Token(row["id"], row["caller"], tuple(row["scopes"].split()), row["created"], row["expires"], row["revoked"])
