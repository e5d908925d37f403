"""Pack labelled cases into small in-memory arrays: 8-bit images and one label value per voxel."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Compose, NormalizeIntensityd, Orientationd

from brats_mm.data.case_cache import hash_chain, hash_item
from brats_mm.data.transforms import CropToSignald, LabelsToRegionsd, LoadSequencesd, ToSpacingd

LEVELS = 255
"""Grey levels of a packed image. Level 0 is background."""

CLIP_PERCENTILE = 99.95
"""Brighter voxels of a channel are clipped to this percentile of its brain voxels."""

CENTRES_PER_KIND = 20_000
"""Maximum number of crop centres per kind of tissue."""

LITTLE_ENHANCEMENT_MM3 = 5000
"""Enhancing tumours below this volume count as small."""


@dataclass(frozen=True, eq=False)
class PackedCase:
    """A labelled case in RAS orientation, cropped to the brain.

    Attributes:
        name: name of the case.
        image: (m, h, w, d) uint8 grey levels, 0 outside the brain and in missing channels.
        scale: (m,) z-score per grey level.
        offset: (m,) z-score of level 1.
        available: (m,) booleans.
        labels: (h, w, d) uint8: 0 background, 1 oedema, 2 non-enhancing core, 3 enhancing tumour.
        centres: flat voxel indices of brain, oedema, non-enhancing core and enhancing tumour.
    """

    name: str
    image: npt.NDArray[np.uint8]
    scale: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    available: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.uint8]
    centres: tuple[npt.NDArray[np.int32], ...]

    @property
    def has_little_enhancement(self) -> bool:
        """Whether a case at 1 mm has a tumour core with less enhancing tumour than `LITTLE_ENHANCEMENT_MM3`."""
        core, enhancing = (int(np.count_nonzero(self.labels >= value)) for value in (2, 3))
        return core > 0 and enhancing < LITTLE_ENHANCEMENT_MM3


def build_preprocessing(spacing_mm: float, *, labelled: bool = True) -> Compose:
    """Return the deterministic transforms: RAS, brain box, z-score inside the brain, region masks, voxel size.

    Args:
        spacing_mm: voxel size in mm.
        labelled: whether the cases have label maps.
    """
    keys = ["image", "label"] if labelled else ["image"]
    return Compose(
        [
            LoadSequencesd(),
            Orientationd(keys, axcodes="RAS", labels=None),
            CropToSignald(keys),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            *([LabelsToRegionsd()] if labelled else []),
            ToSpacingd(spacing_mm=spacing_mm),
        ]
    )


def pack_case(item: Mapping[str, Any], chain: Compose) -> PackedCase:
    """Pack one case of a case list.

    Args:
        item: dictionary with `name`, `image` (files by modality) and optionally `label`. See `data.datalist`. Without
            a label map, all labels are 0.
        chain: transforms from `build_preprocessing`.
    """
    data = chain(item)
    image = data["image"].as_tensor().numpy()
    labels = np.zeros(image.shape[1:], np.uint8)
    if "label" in data:
        labels = data["label"].as_tensor().numpy().sum(axis=0).astype(np.uint8)
    packed = np.zeros(image.shape, np.uint8)
    scale, offset = np.zeros(len(image), np.float32), np.zeros(len(image), np.float32)
    for channel, volume in enumerate(image):
        brain = volume != 0
        if brain.any():
            low, high = float(volume[brain].min()), float(np.percentile(volume[brain], CLIP_PERCENTILE))
            offset[channel], scale[channel] = low, max(high - low, 1e-6) / (LEVELS - 1)
            level = np.clip(np.rint((volume - low) / scale[channel]), 0, LEVELS - 1) + 1
            packed[channel] = np.where(brain, level, 0).astype(np.uint8)
    inside = (packed != 0).any(axis=0)
    kinds = (inside & (labels == 0), labels == 1, labels == 2, labels == 3)
    return PackedCase(
        str(item["name"]),
        packed,
        scale,
        offset,
        data["available"].numpy().astype(np.bool_),
        labels,
        tuple(_select_spread(kind) for kind in kinds),
    )


def unpack_image(levels: torch.Tensor, scale: npt.NDArray[np.float32], offset: npt.NDArray[np.float32]) -> torch.Tensor:
    """Return the z-scores (m, ...) of grey levels. Background is exactly zero.

    Args:
        levels: (m, ...) uint8 grey levels, 0 outside the brain.
        scale: (m,) z-score per grey level.
        offset: (m,) z-score of level 1.
    """
    shape = (-1, *(1 for _ in levels.shape[1:]))
    values = (levels.float() - 1) * torch.from_numpy(scale).reshape(shape) + torch.from_numpy(offset).reshape(shape)
    return values.masked_fill_(levels == 0, 0.0)


def save_packed(case: PackedCase, path: Path) -> Path:
    """Write a packed case and return its file."""
    centres: dict[str, Any] = {f"centres_{kind}": values for kind, values in enumerate(case.centres)}
    arrays: dict[str, Any] = {name: getattr(case, name) for name in ("image", "scale", "offset", "available", "labels")}
    np.savez_compressed(path, **arrays, **centres, name=np.array(case.name))
    return path


def load_packed(path: Path) -> PackedCase:
    """Read a packed case."""
    with np.load(path, allow_pickle=False) as archive:
        centres = tuple(archive[f"centres_{kind}"] for kind in range(4))
        arrays = {name: archive[name] for name in ("image", "scale", "offset", "available", "labels")}
        return PackedCase(name=str(archive["name"]), centres=centres, **arrays)


def pack_cases(items: Iterable[Mapping[str, Any]], folder: Path, *, spacing_mm: float = 1.0) -> list[Path]:
    """Pack cases into a folder, and keep packed cases that exist.

    The hash in a file's name covers the entry of the list, the size and modification time of the files, and the
    preprocessing. A case is packed again after any of them changes.

    Args:
        items: items of a case list.
        folder: folder for the packed cases.
        spacing_mm: voxel size in millimetres.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for item in items:
        chain = build_preprocessing(spacing_mm, labelled="label" in item)
        source = {key: item[key] for key in _SOURCE_KEYS if item.get(key)}
        digest = hashlib.sha256(hash_item(source) + hash_chain(chain.transforms)).hexdigest()[:12]
        path = folder / f"{item['name']}_{digest}.npz"
        paths.append(path if path.is_file() else save_packed(pack_case(item, chain), path))
    return paths


_SOURCE_KEYS = ("name", "image", "volumes", "label", "label_scheme", "orientation")
"""Keys of an item that a packed case depends on."""


def _select_spread(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    indices = np.flatnonzero(mask).astype(np.int32)
    if len(indices) <= CENTRES_PER_KIND:
        return indices
    return indices[np.linspace(0, len(indices) - 1, CENTRES_PER_KIND).astype(np.int64)]
