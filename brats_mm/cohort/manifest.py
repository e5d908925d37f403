"""Read the cases of a cohort from a CSV or Parquet table, a BIDS dataset, or a folder of case folders.

A table has the columns `case` (a name, by default that of the folder), and `folder` or any of `t1`, `t1ce`, `t2`,
`flair`. Relative paths start at the folder of the table. Other columns are ignored. Tables are streamed, so memory does
not grow with the number of rows.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from brats_mm.cohort.bids import count_bids_cases, iterate_bids_cases
from brats_mm.cohort.records import CohortCase, explain_invalid_name
from brats_mm.domain.encodable import make_encodable
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.options import BidsFilter
from brats_mm.errors import CaseError, OptionError
from brats_mm.io.bids import is_bids
from brats_mm.io.suffixes import find_image_suffix

_FILES = tuple(modality.value for modality in MODALITIES)
_BATCH = 2000


@dataclass(frozen=True)
class Manifest:
    """Cases of a cohort.

    Attributes:
        path: path of the manifest.
        count: number of cases.
        cases: function that iterates over the cases from the start.
    """

    path: Path
    count: int
    cases: Callable[[], Iterator[CohortCase]]


def open_manifest(path: Path, selection: BidsFilter | None = None) -> Manifest:
    """Detect the kind of a manifest and count its cases.

    Args:
        path: a table, a BIDS dataset or a folder of case folders.
        selection: selection of participants, sessions and images of a BIDS dataset.

    Raises:
        CaseError: the path is not a manifest, or has no case.
        OptionError: a filter was given for another kind of manifest, or a Parquet table needs pyarrow, which is not
            installed.
    """
    try:
        manifest = _make_manifest(path, selection or BidsFilter())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CaseError(
            f"{path} cannot be read ({error}). Provide a CSV or Parquet table in UTF-8, or a folder of cases."
        ) from error
    if not manifest.count:
        raise CaseError(
            f"{path} lists no case. Provide a table with one row per case, or a folder with one subfolder per case."
        )
    return manifest


def _make_manifest(path: Path, selection: BidsFilter) -> Manifest:
    if path.is_dir() and is_bids(path):
        return Manifest(path, count_bids_cases(path, selection), lambda: iterate_bids_cases(path, selection))
    if not selection.is_empty:
        raise OptionError(
            f"--participant, --session, --run and --acquisition need a BIDS dataset, but {path} is not one. Omit "
            "them, or provide a folder with sub-... folders."
        )
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise CaseError(
            f"There is no manifest {path}. Provide a CSV or Parquet table, a BIDS dataset or a folder of cases."
        )
    if path.suffix.lower() == ".parquet":
        return _read_table(path, _iterate_parquet_rows)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _read_table(path, _iterate_csv_rows)
    raise CaseError(f"{path.name} is not a manifest. It must be a .csv, .tsv or .parquet table, or a folder of cases.")


def _read_folder(path: Path) -> Manifest:
    if any(find_image_suffix(inside.name) for inside in path.iterdir() if inside.is_file()):
        raise CaseError(
            f"{path} contains volumes, so it is a single case. Run `brats-mm segment` on it, or provide its parent "
            "folder."
        )
    names = sorted(inside.name for inside in path.iterdir() if inside.is_dir() and not inside.name.startswith("."))
    return Manifest(
        path,
        len(names),
        lambda: (
            CohortCase(make_encodable(name), folder=str(path / name), fault=explain_invalid_name(make_encodable(name)))
            for name in names
        ),
    )


def _read_table(path: Path, rows: Callable[[Path], Iterator[Mapping[str, str]]]) -> Manifest:
    _check_columns(path, next(rows(path), None))
    count = sum(1 for _ in rows(path))
    return Manifest(
        path, count, lambda: (_parse_case(row, path.parent, line) for line, row in enumerate(rows(path), start=1))
    )


def _check_columns(path: Path, first: Mapping[str, str] | None) -> None:
    if first is not None and not {"folder", *_FILES} & set(first):
        raise CaseError(
            f"{path.name} has the columns {', '.join(first) or 'none'}. It must have `folder` or any of "
            f"{', '.join(_FILES)}, and may have `case`."
        )


def _parse_case(row: Mapping[str, str], start: Path, line: int) -> CohortCase:
    """Return the case of a row. The case of an invalid row has a fault."""
    folder = row.get("folder", "")
    files = {modality: str(start / row[modality.value]) for modality in MODALITIES if row.get(modality.value)}
    name = row.get("case", "") or (Path(folder).name if folder else "")
    if not name:
        return CohortCase(
            f"line {line}", fault=(f"Line {line} of the manifest has no case name. Fill in its column `case`.")
        )
    if bool(folder) == bool(files):
        fault = "both a folder and files" if folder else "neither a folder nor a file"
        return CohortCase(name, fault=f"The case {name[:60]!r} has {fault} in the manifest. Specify one or the other.")
    return CohortCase(name, str(start / folder) if folder else None, files, explain_invalid_name(name))


def _iterate_csv_rows(path: Path) -> Iterator[Mapping[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        for row in reader:
            yield {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key is not None}


def _iterate_parquet_rows(path: Path) -> Iterator[Mapping[str, str]]:
    if find_spec("pyarrow") is None:
        raise OptionError(
            f"{path.name} needs pyarrow, which is not installed. Run `pip install pyarrow`, or provide a CSV table."
        )
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as table:
            columns = [name for name in table.schema_arrow.names if name.strip().lower() in ("case", "folder", *_FILES)]
            for batch in table.iter_batches(_BATCH, columns=columns):
                for row in batch.to_pylist():
                    yield {key.strip().lower(): str("" if value is None else value) for key, value in row.items()}
    except ArrowException as error:
        raise CaseError(f"{path.name} is not a valid Parquet table. Write it again, or provide a CSV table.") from error
