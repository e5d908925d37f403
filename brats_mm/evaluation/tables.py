"""CSV tables of an evaluation: one row per case, subset, region and rule."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from brats_mm.data.json_file import read_json
from brats_mm.errors import OptionError
from brats_mm.metrics.case_scores import RegionScores
from brats_mm.outputs.csv_text import escape_formula, unescape_formula
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.outputs.parquet import GROUP_ROWS, write_parquet
from brats_mm.trust.record import TrustRecord

CASES = "cases.csv"
WEIGHTS = "gate_weights.csv"
TRUST = "trust.csv"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class RowKey:
    """What a row of `cases.csv` scores.

    Attributes:
        case: the case's name.
        subset: the sequences used, such as `t1ce+flair`.
        sequences: number of sequences.
        region: wt, tc or et.
        rule: raw, or et500 (the rule for small enhancing tumours).
    """

    case: str
    subset: str
    sequences: int
    region: str
    rule: str


@dataclass(frozen=True)
class UncertaintyScores:
    """Scores of the uncertainty of one region, equal for both rules.

    Attributes:
        ece, sce, class_ece: calibration over the case's brain box.
        error_auroc: AUROC of entropy for wrong voxels.
        qu_brats: QU-BraTS score of the filtered curves.
    """

    ece: float
    sce: float
    class_ece: float
    error_auroc: float
    qu_brats: float


@dataclass(frozen=True)
class CaseRow(UncertaintyScores, RegionScores, RowKey):
    """A row of `cases.csv`. Missing scores are NaN here and empty cells in the file.

    The columns are those of the key, then the scores of the region, then those of the uncertainty: dataclasses start
    with the fields of the last base.
    """


@dataclass(frozen=True)
class WeightRow:
    """A row of `gate_weights.csv`: the mean gate weight of a sequence for a region over the brain, in [0, 1]."""

    case: str
    subset: str
    region: str
    modality: str
    weight: float


SCORES = ("dice", "hd95_mm", "sensitivity", "precision", "lesion_dice", "lesion_hd95_mm")
UNCERTAINTY = tuple(field.name for field in fields(UncertaintyScores))
NUMBERS = (*SCORES, *UNCERTAINTY)
"""Averaged columns of `cases.csv`."""

IN_MILLIMETRES = frozenset({"hd95_mm", "lesion_hd95_mm"})
"""Scores in millimetres. The others are from 0 to 1."""

CATEGORIES = frozenset({"subset", "region", "rule", "modality"})
"""Columns with few distinct texts."""

AnyRow: TypeAlias = CaseRow | WeightRow | TrustRecord
"""A row of one of the tables."""


class RowWriter:
    """Context manager that writes rows of a dataclass to a CSV file and flushes each batch.

    Args:
        path: the file.
        kind: class of the rows.
    """

    def __init__(self, path: Path, kind: type[Any]) -> None:
        self._path = path
        self._columns = [field.name for field in fields(kind)]

    def __enter__(self) -> "RowWriter":
        with convert_output_errors(self._path):
            self._stream = self._path.open("w", encoding="utf-8", newline="")
            self._writer = csv.DictWriter(self._stream, self._columns)
            self._writer.writeheader()
        return self

    def write(self, rows: Iterable[Any]) -> None:
        """Append rows and flush."""
        with convert_output_errors(self._path):
            for row in rows:
                self._writer.writerow({name: _format_cell(value) for name, value in asdict(row).items()})
            self._stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with convert_output_errors(self._path):
            self._stream.close()


Row = TypeVar("Row", bound=AnyRow)


def read_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    """Iterate over the rows of a table.

    Args:
        path: CSV table.
        kind: class of its rows.

    Raises:
        OptionError: the file is not such a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for record in csv.DictReader(stream):
                values: dict[str, Any] = {f.name: _parse_cell(record[f.name], f.type) for f in fields(kind)}
                yield kind(**values)
    except (OSError, KeyError, ValueError) as error:
        raise OptionError(
            f"{path} is not an evaluation table ({error}). Use a folder written by `brats-mm evaluate`."
        ) from error


def write_parquet_beside(table: Path, kind: type[AnyRow], *, group_rows: int = GROUP_ROWS) -> Path:
    """Convert a CSV table to Parquet, with typed columns and one group of rows in memory, and return the new file.

    Args:
        table: the CSV file. The Parquet file gets the same name with the suffix `.parquet`.
        kind: class of its rows.
        group_rows: rows per row group.
    """
    path = table.with_suffix(".parquet")
    rows = map(vars, read_rows(table, kind))
    write_parquet(path, list_columns(kind), rows, categories=CATEGORIES, group_rows=group_rows)
    return path


def list_columns(kind: type[Any]) -> dict[str, Any]:
    """Return the type of each column of a table by name."""
    return {field.name: field.type for field in fields(kind)}


def read_case_rows(folder: Path) -> Iterator[CaseRow]:
    """Iterate over the rows of an evaluation's `cases.csv`.

    Raises:
        OptionError: the folder has no such table.
    """
    return read_rows(folder / CASES, CaseRow)


def read_trust_records(folder: Path) -> tuple[TrustRecord, ...]:
    """Read an evaluation's `trust.csv`.

    Raises:
        OptionError: the folder has no such table.
    """
    return tuple(read_rows(folder / TRUST, TrustRecord))


def read_summary(folder: Path) -> dict[str, Any]:
    """Read an evaluation's `summary.json`.

    Raises:
        OptionError: the folder has no such file.
    """
    return read_json(folder / SUMMARY, OptionError, "Use the folder of a finished `brats-mm evaluate`.")


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON. NaN becomes null."""
    with convert_output_errors(path):
        path.write_text(json.dumps(to_plain_document(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _format_cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(escape_formula(value))


def _parse_cell(text: str, kind: Any) -> str | int | float:
    if kind in (str, "str"):
        return unescape_formula(text)
    if kind in (int, "int"):
        return int(text)
    return float(text) if text else math.nan


def to_plain_document(value: Any) -> Any:
    """Return a value for JSON, with rounded numbers and None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): to_plain_document(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain_document(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
