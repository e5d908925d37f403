"""Checkpoint of a running evaluation, so that it can resume after an interruption.

The folder `unfinished` inside the results holds the tables so far, and is removed when the results are complete.
`plan.json` describes the evaluation. `progress.npz` is replaced atomically after each case. Table rows of an incomplete
case are truncated on resume.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.errors import OptionError, OutputError
from brats_mm.evaluation.tables import CASES
from brats_mm.outputs.folder import output_errors

FOLDER = "unfinished"
PLAN = "plan.json"
PROGRESS = "progress.npz"
_TEXT = "text"


@dataclass(frozen=True)
class SavedSums:
    """Sums over cases as plain values and arrays, saved without loss of precision."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of an evaluation.

    Attributes:
        done: number of finished cases from the start of the list, including failed ones.
        failed: case name -> reason.
        table_bytes: file name of a table -> its size after the last finished case.
        sums: sums over the finished cases.
    """

    done: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    table_bytes: Mapping[str, int] = field(default_factory=dict)
    sums: SavedSums = field(default_factory=SavedSums)


class EvaluationCheckpoint:
    """Folder of a running evaluation.

    Attributes:
        folder: path of the folder, where tables are written.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self._results = results
        self._made: list[Path] = []

    def check_no_overwrite(self, *, resume: bool, overwrite: bool) -> None:
        """Check that no results would be replaced without permission.

        Args:
            resume: whether an interrupted evaluation will be resumed.
            overwrite: whether existing results may be replaced.

        Raises:
            OutputError: the folder holds a finished evaluation, or an interrupted one that will not be resumed.
        """
        if overwrite:
            return
        if (self._results / CASES).exists():
            raise OutputError(
                f"{self._results} already holds an evaluation. Choose another folder, or replace it (--overwrite)."
            )
        done = self.cases_done()
        if done and not resume:
            raise OutputError(
                f"{self._results} holds an evaluation that was interrupted after {done} cases. Continue with "
                "--resume, or restart with --overwrite."
            )

    def cases_done(self) -> int:
        """Return the number of finished cases of an interrupted evaluation, or 0 if there is no readable checkpoint."""
        try:
            return self._read().done
        except OptionError:
            return 0

    def begin(self, plan: Mapping[str, Any], *, resume: bool) -> EvaluationProgress:
        """Create the folder, or resume the interrupted evaluation in it.

        Args:
            plan: everything that the scores depend on, as plain values. Keys appear in error messages.
            resume: continue an interrupted evaluation if there is one. Otherwise existing content is removed.

        Raises:
            OptionError: the interrupted evaluation had another plan, or is damaged.
            OutputError: the folder cannot be created.
        """
        plan_document = json.loads(json.dumps(plan))
        if resume and (self.folder / PROGRESS).exists():
            self._same_plan(plan_document)
            return self._read()
        self._made = [folder for folder in (self._results, *self._results.parents) if not folder.exists()]
        with output_errors(self._results):
            self._remove()
            self.folder.mkdir(parents=True)
            (self.folder / PLAN).write_text(json.dumps(plan_document, indent=1), encoding="utf-8")
        return EvaluationProgress()

    def save(self, progress: EvaluationProgress) -> None:
        """Replace the saved progress atomically."""
        text = {"done": progress.done, "failed": progress.failed, "table_bytes": progress.table_bytes}
        content: dict[str, Any] = dict(progress.sums.arrays)
        content[_TEXT] = np.array(json.dumps({**text, "values": progress.sums.values}))
        new = self.folder / f"{PROGRESS}.new"
        with output_errors(self.folder):
            with new.open("wb") as stream:
                np.savez(stream, **content)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(self.folder / PROGRESS)

    def discard(self) -> None:
        """Remove the folder."""
        with output_errors(self.folder):
            self._remove()

    def leave(self) -> None:
        """Remove the folder if no case was finished. Otherwise keep it for a resumed evaluation."""
        if not (self.folder / PROGRESS).exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            for folder in self._made:
                with suppress(OSError):  # not empty: it holds the results
                    folder.rmdir()

    def _remove(self) -> None:
        if self.folder.exists():
            (self.folder / PROGRESS).unlink(missing_ok=True)  # first, so that a partial removal cannot be resumed
            shutil.rmtree(self.folder)

    def _read(self) -> EvaluationProgress:
        path = self.folder / PROGRESS
        try:
            with np.load(path, allow_pickle=False) as saved:
                text = json.loads(str(saved[_TEXT]))
                arrays = {name: saved[name] for name in saved.files if name != _TEXT}
            short = [name for name, size in text["table_bytes"].items() if (self.folder / name).stat().st_size < size]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise OptionError(
                f"{path} cannot be read ({error}), so the evaluation cannot resume. Restart it with --overwrite."
            ) from error
        if short:
            raise OptionError(
                f"{self.folder / short[0]} has lost rows, so the evaluation cannot resume. Restart it with --overwrite."
            )
        sums = SavedSums(text["values"], arrays)
        return EvaluationProgress(text["done"], text["failed"], text["table_bytes"], sums)

    def _same_plan(self, plan: Mapping[str, Any]) -> None:
        try:
            saved = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(
                f"{self.folder / PLAN} cannot be read ({error}). Restart the evaluation with --overwrite."
            ) from error
        for name, value in plan.items():
            if saved.get(name) != value:
                raise OptionError(
                    f"{self._results} holds an evaluation with another {name}{_then_and_now(saved.get(name), value)}, "
                    "so it cannot resume. Resume it with the same settings, choose another folder, or restart it with "
                    "--overwrite."
                )


def _then_and_now(then: Any, now: Any) -> str:
    """Describe the difference of two values, or return an empty string if it is too long for a message."""
    if isinstance(then, dict) and isinstance(now, dict):
        differ = [key for key in now if then.get(key) != now[key]]
        then, now = ({key: record.get(key) for key in differ} for record in (then, now))
    change = f" (then {then}, now {now})"
    return change if len(change) <= 160 else ""
