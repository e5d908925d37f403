"""Records of studies fetched from the archive and results stored in it: durable, and one move at a time."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from brats_mm_service.database import Database


class TransferState(str, Enum):
    """Where a transfer stands; the last two are ends."""

    FETCHING = "fetching"
    COMPUTING = "computing"
    STORING = "storing"
    DONE = "done"
    FAILED = "failed"


ENDED = (TransferState.DONE, TransferState.FAILED)


@dataclass(frozen=True)
class Transfer:
    """A study on its way through.

    Attributes:
        next: not before this time, seconds since 1970.
        attempts: of the present step.
        job: the job that computes it, once it was fetched.
        detail: why it failed, or what it waits for.
        stored, present: SOP Instance UIDs that were stored, and that were there already.
    """

    id: str
    study: str
    owner: str
    state: TransferState
    created: float
    next: float
    attempts: int
    job: str | None
    detail: str
    stored: tuple[str, ...]
    present: tuple[str, ...]


class Transfers:
    """Transfers in the database."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def begin(self, study: str, owner: str) -> tuple[Transfer, bool]:
        """Begin a transfer, or find the caller's open one of that study; and whether it is new."""
        with self._database.writing() as connection:
            row = connection.execute(
                "SELECT * FROM transfers WHERE study = ? AND owner = ? AND state NOT IN (?, ?)",
                (study, owner, *(state.value for state in ENDED)),
            ).fetchone()
            if row is not None:
                return _transfer(row), False
            made, now = secrets.token_urlsafe(18), self._now()
            connection.execute(
                "INSERT INTO transfers (id, study, owner, state, created, next) VALUES (?, ?, ?, ?, ?, ?)",
                (made, study, owner, TransferState.FETCHING.value, now, now),
            )
        found = self.get(made)
        assert found is not None, "it has just been committed"
        return found, True

    def get(self, transfer_id: str) -> Transfer | None:
        """The transfer of that id."""
        row = self._database.connection().execute("SELECT * FROM transfers WHERE id = ?", (transfer_id,)).fetchone()
        return None if row is None else _transfer(row)

    def of_study(self, study: str, owner: str) -> list[Transfer]:
        """A caller's transfers of a study, newest first."""
        rows = self._database.connection().execute(
            "SELECT * FROM transfers WHERE study = ? AND owner = ? ORDER BY created DESC LIMIT 50", (study, owner)
        )
        return [_transfer(row) for row in rows]

    def due(self) -> list[Transfer]:
        """Open transfers whose time has come, oldest first."""
        rows = self._database.connection().execute(
            "SELECT * FROM transfers WHERE state NOT IN (?, ?) AND next <= ? ORDER BY created",
            (*(state.value for state in ENDED), self._now()),
        )
        return [_transfer(row) for row in rows]

    def move(self, transfer: Transfer, state: TransferState, **values: Any) -> None:
        """Move a transfer on; the next step starts with no attempts."""
        self._update(transfer.id, state=state.value, attempts=0, next=self._now(), **values)

    def again(self, transfer: Transfer, detail: str, wait_s: float) -> None:
        """Try the same step again later."""
        self._update(transfer.id, attempts=transfer.attempts + 1, detail=detail, next=self._now() + wait_s)

    def later(self, transfer: Transfer, wait_s: float) -> None:
        """Look again later; that is no attempt."""
        self._update(transfer.id, next=self._now() + wait_s)

    def forget(self, older_than_s: float) -> None:
        """Drop transfers that ended long ago."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM transfers WHERE state IN (?, ?) AND created < ?",
                (*(state.value for state in ENDED), self._now() - older_than_s),
            )

    def new_stable(self, studies: list[tuple[str, int]]) -> list[str]:
        """Studies that are new since polling began and have not grown since the poll before; each is named once.

        What is there at the very first poll counts as known.
        """
        with self._database.writing() as connection:
            seen = {row["study"]: row for row in connection.execute("SELECT * FROM seen_studies")}
            stable = []
            for study, instances in studies:
                before = seen.get(study)
                if before is None:
                    connection.execute("INSERT INTO seen_studies VALUES (?, ?, ?)", (study, instances, int(not seen)))
                elif not before["done"] and before["instances"] == instances:
                    stable.append(study)
                    connection.execute("UPDATE seen_studies SET done = 1 WHERE study = ?", (study,))
                elif not before["done"]:
                    connection.execute("UPDATE seen_studies SET instances = ? WHERE study = ?", (instances, study))
            if not seen:  # an empty archive was polled too
                connection.execute("INSERT OR IGNORE INTO seen_studies VALUES ('', 0, 1)")
        return stable

    def _update(self, transfer_id: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._database.writing() as connection:
            connection.execute(f"UPDATE transfers SET {columns} WHERE id = ?", (*values.values(), transfer_id))


def _transfer(row: Any) -> Transfer:
    names = ("id", "study", "owner", "created", "next", "attempts", "job", "detail")
    return Transfer(
        **{name: row[name] for name in names},
        state=TransferState(row["state"]),
        stored=tuple(json.loads(row["stored"])),
        present=tuple(json.loads(row["present"])),
    )
