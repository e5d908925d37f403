"""An evaluation under way: its tables so far and its sums after the last whole case, safe from whatever stops it.

All lies in `unfinished`, inside the results' folder: on the same disk, visible, and gone when the results are there.
`plan.json` says what is evaluated and how. `progress.npz` is replaced in one step after each case, so it is always that
of a whole case; rows that a stopped case left behind in the tables are cut off when the evaluation resumes.
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

from brats_mm.errors import OptionError
from brats_mm.outputs.folder import output_errors

FOLDER = "unfinished"
PLAN = "plan.json"
PROGRESS = "progress.npz"
_TEXT = "text"


@dataclass(frozen=True)
class SavedSums:
    """Sums over cases as plain values and arrays; they come back to the last bit."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationProgress:
    """How far an evaluation is.

    Attributes:
        done: cases done, from the start of the list; those that failed count.
        failed: name -> why, of the cases that could not be used.
        table_bytes: table's file name -> its size after the last whole case; none before the first.
        sums: over the cases done.
    """

    done: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    table_bytes: Mapping[str, int] = field(default_factory=dict)
    sums: SavedSums = field(default_factory=SavedSums)


class EvaluationCheckpoint:
    """The folder of an evaluation under way.

    Attributes:
        folder: where it is; the tables are written there.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self._results = results
        self._made: list[Path] = []

    def cases_done(self) -> int:
        """How many cases a stopped evaluation has done; 0 where there is none, or it cannot be read."""
        try:
            return self._read().done
        except OptionError:
            return 0

    def begin(self, plan: Mapping[str, Any], *, resume: bool) -> EvaluationProgress:
        """Make the folder, or find the stopped evaluation in it.

        Args:
            plan: everything that the scores depend on; plain values, whose keys are words for a message.
            resume: go on with a stopped evaluation, if there is one; otherwise what is there is removed.

        Raises:
            OptionError: the stopped evaluation had another plan, or is damaged.
            OutputError: the folder cannot be made.
        """
        wanted = json.loads(json.dumps(plan))
        if resume and (self.folder / PROGRESS).exists():
            self._same_plan(wanted)
            return self._read()
        self._made = [folder for folder in (self._results, *self._results.parents) if not folder.exists()]
        with output_errors(self._results):
            self._remove()
            self.folder.mkdir(parents=True)
            (self.folder / PLAN).write_text(json.dumps(wanted, indent=1), encoding="utf-8")
        return EvaluationProgress()

    def save(self, progress: EvaluationProgress) -> None:
        """Replace what is saved, in one step."""
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
        """Remove the folder: the results are there, or there will be none."""
        with output_errors(self.folder):
            self._remove()

    def leave(self) -> None:
        """Where no case was done, leave nothing behind; otherwise all stays for another time."""
        if not (self.folder / PROGRESS).exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            for folder in self._made:
                with suppress(OSError):  # the results are in it
                    folder.rmdir()

    def _remove(self) -> None:
        if self.folder.exists():
            (self.folder / PROGRESS).unlink(missing_ok=True)  # first, so that half a removal is no evaluation
            shutil.rmtree(self.folder)

    def _read(self) -> EvaluationProgress:
        path = self.folder / PROGRESS
        try:
            with np.load(path, allow_pickle=False) as found:
                text = json.loads(str(found[_TEXT]))
                arrays = {name: found[name] for name in found.files if name != _TEXT}
            short = [name for name, size in text["table_bytes"].items() if (self.folder / name).stat().st_size < size]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            message = f"{path} cannot be read ({error}), so nothing can be resumed. Start anew with --overwrite."
            raise OptionError(message) from error
        if short:
            message = f"{self.folder / short[0]} has lost rows, so nothing can be resumed. Start anew with --overwrite."
            raise OptionError(message)
        sums = SavedSums(text["values"], arrays)
        return EvaluationProgress(text["done"], text["failed"], text["table_bytes"], sums)

    def _same_plan(self, wanted: Mapping[str, Any]) -> None:
        try:
            begun = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            message = f"{self.folder / PLAN} cannot be read ({error}). Start anew with --overwrite."
            raise OptionError(message) from error
        for what, value in wanted.items():
            if begun.get(what) != value:
                message = (
                    f"{self._results} holds an evaluation that was begun with another {what}"
                    f"{_then_and_now(begun.get(what), value)}; its cases and new ones cannot be mixed. Resume it as "
                    "it was begun, choose another folder, or start anew with --overwrite."
                )
                raise OptionError(message)


def _then_and_now(then: Any, now: Any) -> str:
    """The two values, where they are short enough to say; of two records, what differs."""
    if isinstance(then, dict) and isinstance(now, dict):
        differ = [key for key in now if then.get(key) != now[key]]
        then, now = ({key: record.get(key) for key in differ} for record in (then, now))
    words = f" (then {then}, now {now})"
    return words if len(words) <= 160 else ""
