"""Convert an evaluation's tables to Parquet, with typed columns.

Tables are converted in row groups, so that memory does not grow with the number of cases. Subset, region, rule and
sequence are categories. Missing scores are null.
"""

from dataclasses import fields
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError
from brats_mm.evaluation.tables import AnyRow, read_rows

GROUP_ROWS = 20_000
CATEGORIES = frozenset({"subset", "region", "rule", "modality"})


def require_parquet() -> None:
    """Check that pyarrow is installed, before a long evaluation.

    Raises:
        OptionError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        message = "Parquet tables need pyarrow, which is not installed. Run `pip install pyarrow`, or omit --parquet."
        raise OptionError(message)


def write_parquet(table: Path, kind: type[AnyRow], *, group_rows: int = GROUP_ROWS) -> Path:
    """Convert a CSV table of an evaluation.

    Args:
        table: the CSV file. The Parquet file gets the same name with the suffix `.parquet`.
        kind: class of its rows.
        group_rows: rows per row group.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = pa.schema([(column.name, _type_of(column.name, column.type)) for column in fields(kind)])
    path = table.with_suffix(".parquet")
    rows = read_rows(table, kind)
    with ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, group_rows)):
            columns = [
                pa.array([getattr(row, column.name) for row in group], column.type, from_pandas=True)  # NaN is null
                for column in schema
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return path


def _type_of(name: str, kind: Any) -> Any:
    import pyarrow as pa

    if name in CATEGORIES:
        return pa.dictionary(pa.int32(), pa.string())
    return {str: pa.string(), int: pa.int64(), float: pa.float64()}[kind]
