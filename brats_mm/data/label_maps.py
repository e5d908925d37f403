"""Read reference label maps, and detect the label scheme of a dataset from their values."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from brats_mm.data.checked_nifti import load_checked
from brats_mm.data.file_stamp import FileStamp, read_file_stamp
from brats_mm.domain.label_map import to_integer_labels
from brats_mm.domain.label_scheme import SCHEMES, LabelScheme, Values, decide_schemes
from brats_mm.errors import CaseError, OptionError, VolumeError

THREADS = 4
"""Number of label maps to read in parallel, because most time is spent on disk access and decompression."""


def read_label_values(path: Path) -> Values:
    """Return the label values in a file, without background. An unchanged file is read once.

    Raises:
        VolumeError: the file cannot be read or is not a label map.
    """
    return _read_values(read_file_stamp(path))


@lru_cache(maxsize=8192)
def _read_values(stamp: FileStamp) -> Values:
    """Return the label values in a file. Cached, because each training run reads them several times."""
    path = Path(stamp.path)
    try:
        stored = _find_distinct(np.asanyarray(load_checked(path).dataobj))
    except (OSError, EOFError, ValueError, VolumeError) as error:
        raise VolumeError(
            f"The label map {path} cannot be read ({error}). Check the name, or copy the file again."
        ) from error
    return frozenset(to_integer_labels(stored, path.name).tolist()) - {0}


def _find_distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the distinct values. Bytes are counted, which is several times as fast as sorting or hashing them."""
    return np.flatnonzero(np.bincount(values.ravel())) if values.dtype == np.uint8 else np.unique(values)


def add_label_schemes(items: Iterable[Mapping[str, Any]], scheme: str | None = None) -> list[dict[str, Any]]:
    """Add `label_scheme` to the labelled items of a data set that do not state it.

    Args:
        items: items of the whole data set, see `data.datalist.Item`. More cases make the detection more certain.
        scheme: label scheme of all items. None detects it from names and values. Label maps that cannot be read are
            skipped here and reported by the checks of training and evaluation.

    Raises:
        CaseError: names and values match more than one scheme, or items state another scheme than `scheme`.
        OptionError: the scheme is unknown.
    """
    copies = [dict(item) for item in items]
    if scheme is not None:
        _raise_if_contradicted(copies, parse_scheme(scheme))
        return [{**item, "label_scheme": parse_scheme(scheme).value} if item.get("label") else item for item in copies]
    open_items = [item for item in copies if item.get("label") and not item.get("label_scheme")]
    if open_items:
        with ThreadPoolExecutor(THREADS) as pool:
            label_values = list(pool.map(_read_values_if_sound, (item["label"] for item in open_items)))
        names = [f"{item['name']}" for item in open_items]
        decided = decide_schemes(
            {name: values for name, values in zip(names, label_values, strict=True) if values is not None}
        )
        for item in open_items:
            if item["name"] in decided:
                item["label_scheme"] = decided[item["name"]].value
    return copies


def _raise_if_contradicted(items: Iterable[Mapping[str, Any]], scheme: LabelScheme) -> None:
    for item in items:
        stated = item.get("label_scheme") if item.get("label") else None
        if stated and stated != scheme.value:
            raise CaseError(
                f"The case {item['name']} states the label scheme {stated}, but {scheme.value} was given for all. "
                "Correct the list, or omit the option."
            )


def parse_scheme(name: str) -> LabelScheme:
    """Return the label scheme with the given name.

    Raises:
        OptionError: the scheme is unknown.
    """
    try:
        return LabelScheme(name)
    except ValueError as error:
        raise OptionError(f"There is no label scheme {name!r}. Choose one of {SCHEMES}.") from error


def _read_values_if_sound(path: str) -> Values | None:
    """Return the values of a label map. None if it is unreadable or matches no scheme."""
    try:
        values = read_label_values(Path(path))
    except VolumeError:
        return None
    return values if values <= {1, 2, 3, 4} else None
