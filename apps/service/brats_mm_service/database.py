"""SQLite database: one connection per thread, write-ahead log, durable commits."""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from brats_mm.errors import OptionError

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
    fingerprint TEXT NOT NULL,
    names TEXT NOT NULL DEFAULT '{}',
    training TEXT
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
CREATE TABLE IF NOT EXISTS transfers (
    id TEXT PRIMARY KEY,
    study TEXT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    next REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    job TEXT,
    detail TEXT NOT NULL DEFAULT '',
    stored TEXT NOT NULL DEFAULT '[]',
    present TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE IF NOT EXISTS seen_studies (study TEXT PRIMARY KEY, instances INTEGER NOT NULL, done INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS predictions (
    owner TEXT NOT NULL,
    image TEXT NOT NULL,
    job TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (owner, image)
);
"""

_WAIT_S = 10
"""Longest wait for a lock of another connection."""

_ERASE_WAIT_S = 1
"""Longest wait while the log is emptied, which blocks other writers."""

MIGRATIONS: tuple[str, ...] = (_SCHEMA,)
"""Migrations from version n to n + 1 of a file (`user_version`). Append only, never change."""


class Database:
    """A database file that survives a kill at any moment.

    Raises:
        OptionError: the file is damaged, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        try:
            self._migrate()
        except sqlite3.OperationalError as error:
            self.close()
            raise OptionError(
                f"The records {path} cannot be opened: {error}. Check whether another program uses them or the disk "
                "is full."
            ) from error
        except sqlite3.DatabaseError as error:
            self.close()
            raise _make_damaged_error(path) from error
        self.erase_log()  # a killed service can leave deleted rows in it

    def connection(self) -> sqlite3.Connection:
        """Return the calling thread's connection for reading."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        return connection or self._open()

    def read(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self.connection().execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:  # a failed commit would block the thread's next transaction
                connection.execute("ROLLBACK")

    def erase_log(self) -> bool:
        """Empty the write-ahead log, to remove deleted rows from it and the file.

        Returns:
            Whether it is empty. If another program reads the records, it is not, and the next sweep tries again.
        """
        connection = self.connection()
        connection.execute(f"PRAGMA busy_timeout = {1000 * _ERASE_WAIT_S}")
        try:
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {1000 * _WAIT_S}")

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def _migrate(self) -> None:
        version = self.connection().execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            self.close()
            raise OptionError(
                f"The records {self._path} have version {version}, but this brats-mm supports versions up to "
                f"{len(MIGRATIONS)}. Install the newer brats-mm, or set another folder with --data."
            )
        if self.connection().execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            self.close()
            raise _make_damaged_error(self._path)
        for number in range(version, len(MIGRATIONS)):
            with self.writing() as connection:
                for statement in MIGRATIONS[number].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        with self._lock:
            self._all.append(connection)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # deleted data are overwritten
        self._local.connection = connection
        return connection


def hash_key(owner: str, key: str) -> str:
    """Return the stored form of an Idempotency-Key, whose text may contain a patient's name."""
    return hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()


def check_records(path: Path) -> str | None:
    """Return the fault of a database file as a sentence, or None if it is valid or does not exist."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            rows = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return f"The records {path} cannot be read: {error}."
    if rows != ["ok"]:
        return f"The records {path} are damaged: {'; '.join(rows)}."
    if version > len(MIGRATIONS):
        return f"The records {path} have version {version}, which this brats-mm does not support."
    return None


def _make_damaged_error(path: Path) -> OptionError:
    return OptionError(
        f"The records {path} are damaged. Restore them from a backup, or move the file away. The service then deletes "
        "the files of all jobs."
    )
