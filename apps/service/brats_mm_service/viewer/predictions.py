"""Record the latest job of each image, so that a corrected label can refer to its prediction."""

import time

from brats_mm_service.database import Database


class Predictions:
    """Newest job by caller and image, in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, owner: str, image: str, job: str) -> None:
        """Record that a finished job segmented an image. Replaces the previous job."""
        with self._database.writing() as connection:
            # the name of an image must not outlive its job
            connection.execute(
                "INSERT INTO predictions (owner, image, job, at)"
                " SELECT ?, ?, id, ? FROM jobs WHERE id = ? AND state = 'done'"
                " ON CONFLICT (owner, image) DO UPDATE SET job = excluded.job, at = excluded.at",
                (owner, image, time.time(), job),
            )

    def find_job(self, owner: str, image: str) -> str | None:
        """Return the newest job of an image, or None."""
        rows = self._database.read("SELECT job FROM predictions WHERE owner = ? AND image = ?", owner, image)
        return str(rows[0]["job"]) if rows else None

    def remove(self, owner: str, image: str) -> None:
        """Delete the record of an image."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM predictions WHERE owner = ? AND image = ?", (owner, image))
        self._database.erase_log()

    def forget(self, older_than_s: float) -> None:
        """Delete records of jobs that ended long ago."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM predictions WHERE at < ?", (time.time() - older_than_s,))
