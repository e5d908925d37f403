"""Records of a cohort's cases in one SQLite file, which survives crashes and scales to a hundred thousand cases."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from brats_mm.cohort.records import CaseState, CohortCase, TaskResult
from brats_mm.domain.encodable import make_encodable
from brats_mm.errors import OutputError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cases (
    name TEXT PRIMARY KEY, run INTEGER NOT NULL, state TEXT NOT NULL, stamp TEXT NOT NULL, content TEXT NOT NULL,
    identity TEXT NOT NULL, attempts INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL, row TEXT NOT NULL,
    finished REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (name TEXT PRIMARY KEY, sizes TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faults (serial INTEGER PRIMARY KEY, name TEXT NOT NULL, detail TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """A finished case.

    Attributes:
        stamp, content: stamp and content hash of its files.
        identity: hash of the model and options of its results.
        sizes: size in bytes by result file. Empty if an earlier version did not record them.
    """

    stamp: str
    content: str
    identity: str
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A line of `failures.csv`."""

    case: str
    kind: str
    sentence: str
    attempts: int


@contextmanager
def _records_errors(path: Path) -> Iterator[None]:
    """Raise an error of SQLite from the block as an `OutputError` about the records."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise OutputError(
                f"Another brats-mm cohort is writing to {path.parent}. Wait for it, or choose another folder."
            ) from error
        raise OutputError(f"The records {path} cannot be read ({error}). Choose another folder.") from error


class Ledger:
    """Records of a cohort. Only one process can open them at a time."""

    def __init__(self, path: Path) -> None:
        with _records_errors(path), ExitStack() as stack:
            self._records = sqlite3.connect(path, timeout=1, isolation_level=None)
            stack.callback(self._records.close)
            self._records.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._records.execute("PRAGMA journal_mode = WAL")
            self._records.execute("PRAGMA synchronous = NORMAL")
            for statement in _SCHEMA.split(";"):
                self._records.execute(statement)
            self._records.execute("DELETE FROM seen")
            self._records.execute("DELETE FROM faults")
            self._run = self._records.execute("SELECT COALESCE(MAX(run), 0) + 1 FROM cases").fetchone()[0]
            stack.pop_all()  # keep the records open

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.close()

    def is_new(self, name: str) -> bool:
        """Return whether this case appears for the first time in the manifest."""
        return self._records.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name,)).rowcount == 1

    def find_finished(self, name: str) -> Entry | None:
        """Return the entry of a finished case, or None."""
        row = self._records.execute(
            "SELECT stamp, content, identity, sizes FROM cases LEFT JOIN results USING (name) "
            "WHERE name = ? AND state = ?",
            (name, CaseState.DONE.value),
        ).fetchone()
        if row is None:
            return None
        stamp, content, identity, sizes = row
        return Entry(stamp, content, identity, json.loads(sizes or "{}"))

    def record(
        self,
        result: TaskResult,
        *,
        stamp: str,
        identity: str,
        attempts: int,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Record the outcome of a case.

        Args:
            result: outcome of the case.
            stamp: hash of the names, sizes and modification times of its files.
            identity: hash of the model and options.
            attempts: number of attempts so far.
            sizes: size of each result file in bytes. None if there are none.
        """
        if sizes:
            self._records.execute(
                "INSERT OR REPLACE INTO results VALUES (?, ?)", (result.name, json.dumps(dict(sizes)))
            )
        if result.state is CaseState.SAME:
            self._records.execute("UPDATE cases SET stamp = ?, run = ? WHERE name = ?", (stamp, self._run, result.name))
            return
        self._records.execute(
            "INSERT OR REPLACE INTO cases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                result.name,
                self._run,
                result.state.value,
                stamp,
                result.content,
                identity,
                attempts,
                result.kind,
                make_encodable(result.detail),
                json.dumps(dict(result.row)),
                time.time(),
            ),
        )

    def record_fault(self, case: CohortCase, detail: str) -> None:
        """Record an invalid row of the manifest."""
        self._records.execute(
            "INSERT INTO faults (name, detail) VALUES (?, ?)", (make_encodable(case.name), make_encodable(detail))
        )

    def iterate_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the table rows of all finished cases, ordered by name."""
        for (row,) in self._records.execute(
            "SELECT row FROM cases WHERE state = ? ORDER BY name", (CaseState.DONE.value,)
        ):
            yield json.loads(row)

    def iterate_failures(self) -> Iterator[Failure]:
        """Yield the failed cases and the invalid rows of the manifest."""
        query = "SELECT name, kind, detail, attempts FROM cases WHERE state = ? ORDER BY name"
        for row in self._records.execute(query, (CaseState.FAILED.value,)):
            yield Failure(*row)
        for name, detail in self._records.execute("SELECT name, detail FROM faults ORDER BY serial"):
            yield Failure(name, "manifest", detail, 0)
