"""Files of jobs. Each job has a folder, and results are published atomically.

incoming/<random>/    an upload in progress
jobs/<id>/upload/     the sequences of an accepted job
jobs/<id>/attempt-N/  output of the running attempt
jobs/<id>/result/     a finished result: a renamed attempt
trash/<id>.<random>/  being deleted, with the ID of the job or the name of the upload
"""

import os
import secrets
import shutil
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from brats_mm.io.bundle import compute_sha256
from brats_mm.io.durable import sync
from brats_mm_service.jobs.model import ResultFile

_MAX_PARALLEL = 4
"""Number of files to hash and sync concurrently. Both release the GIL."""
_VERIFIED_S, _MOST_VERIFIED = 60.0, 10_000
_ORPHANED_S = 3600.0


class JobFiles:
    """Folders below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[tuple[object, ...], float] = {}
        for name in ("incoming", "jobs", "trash"):
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    def incoming(self) -> Path:
        """Create a folder for an upload."""
        folder = self.root / "incoming" / secrets.token_hex(12)
        folder.mkdir(mode=0o700)
        return folder

    def upload(self, job_id: str) -> Path:
        """Return the folder of a job's sequences."""
        return self.root / "jobs" / job_id / "upload"

    def attempt(self, job_id: str, number: int) -> Path:
        """Return the folder that the worker writes to in an attempt."""
        return self.root / "jobs" / job_id / f"attempt-{number}"

    def result(self, job_id: str) -> Path:
        """Return the folder of the finished result."""
        return self.root / "jobs" / job_id / "result"

    def locate_all_results(self, job_id: str) -> Path:
        """Return the zip of all results, created on first request."""
        return self.root / "jobs" / job_id / "all.zip"

    def locate_kept_study(self, job_id: str) -> Path:
        """Return the zip of the kept DICOM series, created on first request."""
        return self.root / "jobs" / job_id / "study.zip"

    def adopt(self, incoming: Path, job_id: str) -> None:
        """Move a received upload to the folder of its job, durably."""
        folder = self.root / "jobs" / job_id
        folder.mkdir(mode=0o700)
        with ThreadPoolExecutor(_MAX_PARALLEL, thread_name_prefix="sync") as pool:
            list(pool.map(sync, [incoming, *incoming.rglob("*")]))
        incoming.rename(folder / "upload")
        sync(folder)
        sync(folder.parent)

    def publish(self, job_id: str, number: int) -> tuple[ResultFile, ...]:
        """Publish the output of an attempt as the result, atomically, and return its files."""
        attempt, result = self.attempt(job_id, number), self.result(job_id)
        if result.is_dir() and not attempt.is_dir():
            return build_manifest(result)  # published earlier, but its record could not be written
        with ThreadPoolExecutor(_MAX_PARALLEL, thread_name_prefix="publish") as pool:
            synced = [pool.submit(sync, path) for path in attempt.iterdir()]
            files = build_manifest(attempt)
            for target in synced:
                target.result()
        sync(attempt)
        attempt.rename(result)
        sync(attempt.parent)
        return files

    def clear_attempt(self, job_id: str, number: int) -> None:
        """Remove the output of an unfinished attempt."""
        self._move_to_trash(self.attempt(job_id, number), job_id)

    def clear_attempts(self, job_id: str) -> None:
        """Remove the output of all unfinished attempts."""
        for folder in (self.root / "jobs" / job_id).glob("attempt-*"):
            self._move_to_trash(folder, job_id)

    def drop_upload(self, job_id: str) -> None:
        """Remove a job's uploaded files."""
        self._move_to_trash(self.upload(job_id), job_id)

    def remove(self, job_id: str) -> None:
        """Remove all files of a job, and wait for other threads that are removing some of them."""
        self._move_to_trash(self.root / "jobs" / job_id, job_id)
        for folder in (self.root / "trash").glob(f"{job_id}.*"):
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self, incoming: Path) -> None:
        """Remove an upload that was not accepted."""
        self._move_to_trash(incoming, incoming.name)

    def clean(self, job_ids: Collection[str]) -> None:
        """Remove orphaned files after the start of the service."""
        for folder in (self.root / "incoming").iterdir():
            self._move_to_trash(folder, folder.name)
        for folder in (self.root / "jobs").iterdir():
            if folder.name not in job_ids:
                self._move_to_trash(folder, folder.name)
        self.empty_trash()

    def empty_trash(self) -> None:
        """Remove remains of interrupted or failed deletions."""
        for folder in (self.root / "trash").iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    def clean_orphans(self, job_ids: Collection[str]) -> None:
        """Remove folders without a job that are older than the longest submission."""
        oldest = time.time() - _ORPHANED_S
        for folder in (self.root / "jobs").iterdir():
            if folder.name not in job_ids and folder.stat().st_mtime < oldest:
                self._move_to_trash(folder, folder.name)

    def count_used_bytes(self, job_id: str) -> int:
        """Return the disk space of a job's files in bytes."""
        return count_folder_bytes(self.root / "jobs" / job_id)

    def matches(self, path: Path, file: ResultFile) -> bool:
        """Return whether a file has the recorded size and hash. Cached for a minute while the file is unchanged."""
        try:
            status = path.stat()
            state = (str(path), file.sha256, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self._verified.get(state, 0.0) > time.monotonic():
                return True
            if status.st_size != file.size or compute_sha256(path) != file.sha256:
                return False
        except OSError:
            return False
        if len(self._verified) > _MOST_VERIFIED:
            self._verified.clear()
        self._verified[state] = time.monotonic() + _VERIFIED_S
        return True

    def free_bytes(self) -> int:
        """Return the free disk space in bytes."""
        return shutil.disk_usage(self.root).free

    def _move_to_trash(self, folder: Path, owner: str) -> None:
        """Move a folder away before deleting it, to prevent access to a partly deleted folder."""
        gone = self.root / "trash" / f"{owner}.{secrets.token_hex(12)}"
        with suppress(FileNotFoundError):
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def build_manifest(folder: Path) -> tuple[ResultFile, ...]:
    """Return name, size and hash of each file of a result."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    with ThreadPoolExecutor(_MAX_PARALLEL, thread_name_prefix="hash") as pool:
        return tuple(pool.map(lambda path: ResultFile(path.name, path.stat().st_size, compute_sha256(path)), paths))


def count_folder_bytes(folder: Path) -> int:
    """Return the total size of all files below a folder."""
    total = 0
    for parent, _, names in os.walk(folder):  # unlike rglob, skips files that are deleted meanwhile
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total
