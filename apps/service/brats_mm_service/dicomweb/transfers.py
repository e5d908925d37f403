"""Records of studies fetched from the archive and results stored in it."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from brats_mm_service.database import Database


class TransferState(str, Enum):
    """State of a transfer. The last two are final."""

    FETCHING = "fetching"
    COMPUTING = "computing"
    STORING = "storing"
    DONE = "done"
    FAILED = "failed"


ENDED = (TransferState.DONE, TransferState.FAILED)


@dataclass(frozen=True)
class Transfer:
    """A study being processed.

    Attributes:
        next: earliest time of the next attempt, seconds since 1970.
        attempts: attempts at the current step.
        job: the job that computes it, once fetched.
        detail: reason for a failure or delay.
        stored, present: SOP Instance UIDs that were stored or already existed.
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
        """Begin a transfer, or return the caller's open transfer of the study, and whether it is new."""
        with self._database.writing() as connection:
            row = connection.execute(
                "SELECT * FROM transfers WHERE study = ? AND owner = ? AND state NOT IN (?, ?)",
                (study, owner, *(state.value for state in ENDED)),
            ).fetchone()
            if row is not None:
                return _to_transfer(row), False
            transfer_id, now = secrets.token_urlsafe(18), self._now()
            connection.execute(
                "INSERT INTO transfers (id, study, owner, state, created, next) VALUES (?, ?, ?, ?, ?, ?)",
                (transfer_id, study, owner, TransferState.FETCHING.value, now, now),
            )
        transfer = self.get(transfer_id)
        assert transfer is not None, "it has just been committed"
        return transfer, True

    def get(self, transfer_id: str) -> Transfer | None:
        """Return a transfer by its ID, or None."""
        rows = self._database.read("SELECT * FROM transfers WHERE id = ?", transfer_id)
        return _to_transfer(rows[0]) if rows else None

    def list_for_study(self, study: str, owner: str) -> list[Transfer]:
        """Return a caller's transfers of a study, newest first."""
        query = "SELECT * FROM transfers WHERE study = ? AND owner = ? ORDER BY created DESC LIMIT 50"
        return [_to_transfer(row) for row in self._database.read(query, study, owner)]

    def due(self) -> list[Transfer]:
        """Return open transfers that are due, oldest first."""
        query = "SELECT * FROM transfers WHERE state NOT IN (?, ?) AND next <= ? ORDER BY created"
        ended = (state.value for state in ENDED)
        return [_to_transfer(row) for row in self._database.read(query, *ended, self._now())]

    def move(self, transfer: Transfer, state: TransferState, **values: Any) -> None:
        """Move a transfer to a state and reset its attempts."""
        self._update(transfer.id, state=state.value, attempts=0, next=self._now(), **values)

    def again(self, transfer: Transfer, detail: str, wait_s: float) -> None:
        """Try the same step again in `wait_s` seconds, and tell the caller why with `detail`."""
        self._update(transfer.id, attempts=transfer.attempts + 1, detail=detail, next=self._now() + wait_s)

    def later(self, transfer: Transfer, wait_s: float) -> None:
        """Postpone a transfer by `wait_s` seconds, without counting an attempt."""
        self._update(transfer.id, next=self._now() + wait_s)

    def forget(self, older_than_s: float) -> None:
        """Delete transfers that ended long ago."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM transfers WHERE state IN (?, ?) AND created < ?",
                (*(state.value for state in ENDED), self._now() - older_than_s),
            )

    def take_stable_studies(self, studies: list[tuple[str, int]]) -> list[str]:
        """Return studies that are new since polling began and unchanged since the last poll. Each study is returned
        once.

        Studies found by the first poll count as known.
        """
        with self._database.writing() as connection:
            rows = {row["study"]: row for row in connection.execute("SELECT * FROM seen_studies")}
            stable = []
            for study, instances in studies:
                before = rows.get(study)
                if before is None:
                    connection.execute("INSERT INTO seen_studies VALUES (?, ?, ?)", (study, instances, int(not rows)))
                elif not before["done"] and before["instances"] == instances:
                    stable.append(study)
                    connection.execute("UPDATE seen_studies SET done = 1 WHERE study = ?", (study,))
                elif not before["done"]:
                    connection.execute("UPDATE seen_studies SET instances = ? WHERE study = ?", (instances, study))
            if not rows:  # marks that the archive was polled, even if it is empty
                connection.execute("INSERT OR IGNORE INTO seen_studies VALUES ('', 0, 1)")
        return stable

    def _update(self, transfer_id: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._database.writing() as connection:
            connection.execute(f"UPDATE transfers SET {columns} WHERE id = ?", (*values.values(), transfer_id))


def _to_transfer(row: Any) -> Transfer:
    names = ("id", "study", "owner", "created", "next", "attempts", "job", "detail")
    return Transfer(
        **{name: row[name] for name in names},
        state=TransferState(row["state"]),
        stored=tuple(json.loads(row["stored"])),
        present=tuple(json.loads(row["present"])),
    )
