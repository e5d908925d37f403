"""Cache prepared cases in memory or on disk, so that loading and preprocessing happen once.

Only the result before the first random transform is cached. Windows and augmentations are drawn each time.
"""

import errno
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import monai
import numpy as np
import torch
from monai.data import CacheDataset, PersistentDataset
from monai.transforms import Compose, Transform
from monai.transforms.traits import RandomizableTrait

from brats_mm.data import transforms
from brats_mm.data.datalist import Item, list_files
from brats_mm.data.transplant import RandTransplantTumourd
from brats_mm.domain import label_map, label_scheme, resample

_CODE = (transforms, label_map, label_scheme, resample)
"""Modules whose changes invalidate cached cases."""

Dataset: TypeAlias = CacheDataset | PersistentDataset


def cache_cases(
    data: Sequence[Item],
    transform: Compose,
    *,
    cache_rate: float | int = 1.0,
    cache_dir: Path | str | None = None,
) -> Dataset:
    """Return a dataset of prepared cases, which also provide the tumours to transplant.

    Args:
        data: items from `datalist.load_training_items`.
        transform: all transforms, including the random part.
        cache_rate: fraction of the cases to cache in memory. Ignored with `cache_dir`.
        cache_dir: folder to cache cases in instead, across runs. A case is prepared again if its files (by size and
            modification time), the settings or code of the preprocessing, or MONAI have changed. Files of other
            settings stay until the folder is deleted.
    """
    dataset: Dataset
    if cache_dir:
        dataset = CasesOnDisk(list(data), transform, Path(cache_dir).expanduser())
    else:
        dataset = CacheDataset(list(data), transform, cache_rate=cache_rate, num_workers=1, progress=False)
    for transplant in _find_transplants(transform):
        transplant.set_donors(PreparedCases(dataset))
    return dataset


class CasesOnDisk(PersistentDataset):
    """Prepared cases in a folder. Files hold tensors only, and damaged files are replaced."""

    def __init__(self, data: Sequence[Item], transform: Compose, cache_dir: Path) -> None:
        super().__init__(data, transform, cache_dir, hash_func=hash_item, hash_transform=hash_chain, weights_only=True)

    def _pre_transform(self, item_transformed: Item) -> Any:
        """Copy tensors, because torch saves the whole memory of a cropped one."""
        prepared = super()._pre_transform(item_transformed)
        return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in prepared.items()}

    def _cachecheck(self, item_transformed: Item) -> Any:
        path = self.cache_dir / f"{self.hash_func(item_transformed).decode()}{self.transform_hash}.pt"
        try:
            return super()._cachecheck(item_transformed)
        except (RuntimeError, OSError, EOFError) as error:
            if "PytorchStreamWriter" in str(error):  # torch does not report the system's error
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.cache_dir)) from error
            if not path.is_file():
                raise
        path.unlink()
        return super()._cachecheck(item_transformed)


class PreparedCases:
    """Cases of a dataset before the random transforms, as donors of tumours.

    If the dataset caches only some cases in memory, only those are used.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        cached = len(self.dataset._cache) if isinstance(self.dataset, CacheDataset) else 0
        return cached or len(self.dataset.data)

    def __getitem__(self, index: int) -> Mapping[Hashable, Any]:
        prepared: Mapping[Hashable, Any]
        if isinstance(self.dataset, PersistentDataset):
            prepared = self.dataset._cachecheck(self.dataset.data[index])
        elif self.dataset._cache:
            prepared = self.dataset._cache[index]
        else:
            chain = self.dataset.transform
            prepared = chain(self.dataset.data[index], end=chain.get_index_of_first(_is_random))
        return prepared


def hash_item(item: Item) -> bytes:
    """Return a hash of a case's entry and of its files' sizes and modification times."""
    stats = [Path(file).stat() for file in list_files(item) if Path(file).is_file()]
    return _hash_content([item, [(stat.st_size, stat.st_mtime_ns) for stat in stats]])


def hash_chain(chain: Sequence[Transform]) -> bytes:
    """Return a hash of the settings and code of the preprocessing, and of MONAI's version."""
    code = [Path(inspect.getfile(module)).read_text(encoding="utf-8") for module in _CODE]
    return _hash_content([[_describe(step) for step in chain], code, monai.__version__])


def _hash_content(content: Any) -> bytes:
    document = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()[:32].encode()


def _describe(value: Any) -> Any:
    """Describe settings as plain values. Objects that are neither settings nor contain any are described by type."""
    description: Any = f"{type(value).__qualname__} {getattr(value, '__qualname__', '')}"
    if value is None or isinstance(value, str | int | float | bool):
        description = value
    elif isinstance(value, Mapping):
        description = {str(key): _describe(part) for key, part in value.items()}
    elif isinstance(value, list | tuple):
        description = [_describe(part) for part in value]
    elif isinstance(value, np.ndarray | torch.Tensor):
        description = value.tolist()
    elif isinstance(value, Transform):
        description = [type(value).__qualname__, _describe(vars(value))]
    elif isinstance(value, torch.dtype | np.dtype | type):
        description = str(value)
    return description


def _is_random(step: Callable[..., Any]) -> bool:
    return isinstance(step, RandomizableTrait) or not isinstance(step, Transform)


def _find_transplants(step: Any) -> Iterator[RandTransplantTumourd]:
    """Return the transforms of a chain, including nested ones."""
    if isinstance(step, RandTransplantTumourd):
        yield step
    elif isinstance(step, list | tuple):
        for part in step:
            yield from _find_transplants(part)
    elif isinstance(step, Transform):
        yield from _find_transplants(list(vars(step).values()))
