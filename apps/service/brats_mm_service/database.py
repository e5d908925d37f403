"""The SQLite file: one connection a thread, write-ahead log, every commit on disk before it counts."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    options TEXT NOT NULL,
    sequences TEXT NOT NULL,
    ignored TEXT NOT NULL,
    notes TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    results TEXT NOT NULL DEFAULT '[]',
    seconds TEXT NOT NULL DEFAULT '{}',
    key TEXT,
    fingerprint TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, serial);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, serial);
CREATE TABLE IF NOT EXISTS served (owner TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY,
    caller TEXT NOT NULL,
    digest TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    revoked REAL
);
"""


class Database:
    """A file of records that outlives a kill at any moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with self.writing() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)

    def connection(self) -> sqlite3.Connection:
        """The connection of the calling thread, for reading."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        return found or self._open()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it counts, or nothing."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # deletion is real
        self._local.connection = connection
        with self._lock:
            self._all.append(connection)
        return connection
