"""Write tables as Parquet. Needs pyarrow, which is imported when a table is written."""

from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError

GROUP_ROWS = 10_000
"""Rows per row group. This many rows are in memory at a time."""


def require_parquet(instead: str) -> None:
    """Check that pyarrow is installed, before a long computation.

    Args:
        instead: alternative without pyarrow, for the message.

    Raises:
        OptionError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise OptionError(
            f"Parquet tables need pyarrow, which is not installed. Run `pip install pyarrow`, or {instead}."
        )


def write_parquet(
    path: Path,
    columns: Mapping[str, type],
    rows: Iterable[Mapping[str, Any]],
    *,
    categories: Collection[str] = (),
    group_rows: int = GROUP_ROWS,
) -> None:
    """Write rows with typed columns. None and NaN become null.

    Args:
        path: the file to write.
        columns: type of each column: str, int, float or bool.
        rows: values by column. Missing columns are null, and extra columns are ignored.
        categories: columns of text with few values, which are stored as dictionaries.
        group_rows: rows per row group.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([(name, text if name in categories else kinds[kind]) for name, kind in columns.items()])
    remaining = iter(rows)
    with ParquetWriter(path, schema) as writer:
        while group := list(islice(remaining, group_rows)):
            arrays = [
                pa.array([row.get(field.name) for row in group], field.type, from_pandas=True) for field in schema
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
