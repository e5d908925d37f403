"""Checkpoint of a running evaluation, so that it can resume after an interruption.

The folder `unfinished` inside the results holds one file per finished case, and `plan.json`, which describes the
evaluation. It is removed when the results are complete.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.counting import format_count
from brats_mm.domain.regions import Region
from brats_mm.errors import OptionError, OutputError
from brats_mm.evaluation.summary import CaseEvaluation
from brats_mm.evaluation.tables import CASES, CaseRow, WeightRow
from brats_mm.metrics.calibration import Reliability
from brats_mm.metrics.uncertainty import EntropyTable
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.trust.record import TrustRecord

FOLDER = "unfinished"
PLAN = "plan.json"


class EvaluationCheckpoint:
    """Folder of a running evaluation.

    Attributes:
        folder: path of the folder.
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
        done = self.count_finished_cases()
        if done and not resume:
            raise OutputError(
                f"{self._results} holds an evaluation that was interrupted after {format_count(done, 'case')}. "
                "Continue with --resume, or restart with --overwrite."
            )

    def count_finished_cases(self) -> int:
        """Return the number of finished cases, including failed ones, of an interrupted evaluation."""
        return sum(1 for _ in takewhile(Path.exists, map(self._make_path, count(1))))

    def begin(self, plan: Mapping[str, Any], *, resume: bool) -> None:
        """Create the folder, or resume the interrupted evaluation in it.

        Args:
            plan: everything that the scores depend on, as plain values. Keys appear in error messages.
            resume: continue an interrupted evaluation if there is one. Otherwise existing content is removed.

        Raises:
            OptionError: the interrupted evaluation had another plan, or is damaged.
            OutputError: the folder cannot be created.
        """
        plan_document = json.loads(json.dumps(plan))
        if resume and self.count_finished_cases():
            self._check_same_plan(plan_document)
            for _ in self.results():  # report a damaged file now, not after the remaining cases
                pass
            return
        self._made = [folder for folder in (self._results, *self._results.parents) if not folder.exists()]
        with convert_output_errors(self._results):
            self._remove()
            self.folder.mkdir(parents=True)
            (self.folder / PLAN).write_text(json.dumps(plan_document, indent=1), encoding="utf-8")

    def save(self, number: int, name: str, result: CaseEvaluation | str) -> None:
        """Save the results of a case, or the reason why it failed, atomically.

        Args:
            number: number of the case, from 1.
            name: the case's name.
            result: its results, or the reason.
        """
        new = self._make_path(number).with_suffix(".new")
        with convert_output_errors(self.folder):
            with new.open("wb") as stream:
                np.savez_compressed(stream, **_encode(name, result))
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(self._make_path(number))

    def results(self) -> Iterator[tuple[str, CaseEvaluation | str]]:
        """Yield the name of each finished case with its results, or the reason why it failed.

        Raises:
            OptionError: a file is damaged.
        """
        for number in range(1, self.count_finished_cases() + 1):
            path = self._make_path(number)
            try:
                with np.load(path, allow_pickle=False) as saved:
                    yield _decode(saved)
            except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
                raise OptionError(
                    f"{path} cannot be read ({error}), so the evaluation cannot resume. Restart it with --overwrite."
                ) from error

    def discard(self) -> None:
        """Remove the folder."""
        with convert_output_errors(self.folder):
            self._remove()

    def leave(self) -> None:
        """Remove the folder if no case was finished. Otherwise keep it for a resumed evaluation."""
        if not self.count_finished_cases():
            shutil.rmtree(self.folder, ignore_errors=True)
            for folder in self._made:
                with suppress(OSError):  # not empty: it holds the results
                    folder.rmdir()

    def _make_path(self, number: int) -> Path:
        return self.folder / f"{number}.npz"

    def _remove(self) -> None:
        if self.folder.exists():
            self._make_path(1).unlink(missing_ok=True)  # first, so that a partial removal cannot be resumed
            shutil.rmtree(self.folder)

    def _check_same_plan(self, plan: Mapping[str, Any]) -> None:
        try:
            saved = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(
                f"{self.folder / PLAN} cannot be read ({error}). Restart the evaluation with --overwrite."
            ) from error
        for name, value in plan.items():
            if saved.get(name) != value:
                raise OptionError(
                    f"{self._results} holds an evaluation with another {name}"
                    f"{_describe_change(saved.get(name), value)}, so it cannot resume. "
                    "Resume it with the same settings, choose another folder, or restart it with --overwrite."
                )


def _describe_change(then: Any, now: Any) -> str:
    """Describe the difference of two values, or return an empty string if it is too long for a message."""
    if isinstance(then, dict) and isinstance(now, dict):
        differ = [key for key in now if then.get(key) != now[key]]
        then, now = ({key: record.get(key) for key in differ} for record in (then, now))
    change = f" (then {then}, now {now})"
    return change if len(change) <= 160 else ""


def _encode(name: str, result: CaseEvaluation | str) -> dict[str, Any]:
    case = CaseEvaluation() if isinstance(result, str) else result
    tables = [(subset, region, *pair) for subset, regions in case.tables.items() for region, pair in regions.items()]
    text = {
        "name": name,
        "failure": result if isinstance(result, str) else None,
        **{kind: [asdict(row) for row in getattr(case, kind)] for kind in ("rows", "weights", "trust")},
        "warnings": case.warnings,
        "tables": [(format_subset(subset), region.value) for subset, region, *_ in tables],
    }
    return {
        "text": np.array(json.dumps(text)),
        "reliability": np.array([list(vars(counts).values()) for _, _, counts, _ in tables]),
        "entropy": np.array([entropy.voxels for *_, entropy in tables]),
    }


def _decode(saved: Mapping[str, Any]) -> tuple[str, CaseEvaluation | str]:
    text = json.loads(str(saved["text"]))
    if text["failure"] is not None:
        return text["name"], text["failure"]
    subsets = {format_subset(subset): subset for subset in SUBSETS}
    tables: dict[Any, dict[Region, Any]] = {}
    for (subset, region), counts, entropy in zip(text["tables"], saved["reliability"], saved["entropy"], strict=True):
        tables.setdefault(subsets[subset], {})[Region(region)] = (Reliability(*counts), EntropyTable(entropy))
    kinds: dict[str, Any] = {"rows": CaseRow, "weights": WeightRow, "trust": TrustRecord}
    rows: dict[str, Any] = {name: tuple(kind(**row) for row in text[name]) for name, kind in kinds.items()}
    return text["name"], CaseEvaluation(**rows, tables=tables, warnings=tuple(text["warnings"]))
