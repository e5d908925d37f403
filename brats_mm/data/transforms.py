"""Training transforms from files: stacked sequences, availability, region masks and crop centres."""

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Num, Shaped
from monai.data import MetaTensor
from monai.transforms import CropForegroundd, EnsureChannelFirst, MapTransform, Transform
from torch import Tensor

from brats_mm.data.checked_nifti import CheckedNibabelReader
from brats_mm.data.label_maps import parse_scheme
from brats_mm.data.nan_background import fill_nan_background
from brats_mm.data.value_range import scale_extremes
from brats_mm.domain.background import remove_background
from brats_mm.domain.label_map import extract_checked_regions, to_integer_labels
from brats_mm.domain.lattice import match_lattice, place_voxels
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.orientation import set_directions
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.resample import compute_resampled_side, resample, resample_signal
from brats_mm.domain.volume import Grid
from brats_mm.errors import CaseError, GridError, VolumeError

CHANNELS = tuple(modality.value for modality in MODALITIES)
"""Names of an image's channels, in order."""

CANDIDATES = 4000
"""Maximum number of crop centres per kind and case: enough for randomness, few enough to cache."""


class LoadSequencesd(Transform):
    """Load the available sequences of an item into one image.

    Adds `image` (m, h, w, d) with one channel per modality, zero if missing, `available` (m,) booleans, and `label`
    (1, h, w, d) with the values of the label map, if any. The item's `orientation`, if any, replaces the directions in
    the headers of the case's files (see `domain.orientation.set_directions`).

    Args:
        modalities: modalities of the channels, in order. All four, or one for an expert.
    """

    def __init__(self, modalities: Sequence[str] = CHANNELS) -> None:
        self.modalities = tuple(Modality(name) for name in modalities)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        files: Mapping[str, str] = data["image"]
        read = lru_cache(self._load_volume)  # sequences may share a file
        indices: Mapping[str, int] = data.get("volumes", {})
        volumes = {
            modality: _zero_background(
                _select_volume(read(files[modality.value]), indices.get(modality.value), files[modality.value])
            )
            for modality in self.modalities
            if modality.value in files
        }
        if not volumes:
            names = ", ".join(modality.value for modality in self.modalities)
            raise CaseError(
                f"The case {data.get('name', '?')} has none of {names}. Remove it from the list, or add the files."
            )
        empty = [modality.value for modality, volume in volumes.items() if not bool(volume.any())]
        if empty:
            raise VolumeError(
                f"{', '.join(empty)} of the case {data.get('name', '?')} contains only zeros. Remove the sequence from "
                "the list, so that it counts as missing."
            )
        first = next(iter(volumes.values()))
        volumes = {modality: _reorder_onto(volume, first) for modality, volume in volumes.items()}
        channels = [volumes.get(modality, torch.zeros_like(first)).as_tensor() for modality in self.modalities]
        affine = _correct_affine(first, data.get("orientation"), str(data.get("name", "?")))
        image = MetaTensor(torch.cat(channels), affine=affine)
        available = torch.tensor([modality in volumes for modality in self.modalities])
        loaded: dict[Hashable, Any] = {"name": "unnamed", **data, "image": image, "available": available}
        if "label" in data:
            label = _select_volume(self._load_volume(data["label"]), None, data["label"])
            loaded["label"] = MetaTensor(_reorder_onto(label, first).as_tensor(), affine=affine)
        return loaded

    def _load_volume(self, path: str) -> MetaTensor:
        if not Path(path).is_file():
            raise VolumeError(f"The file {path} does not exist. Check the list of cases and --dataset_dir.")
        volume = _read(path)
        if not bool(torch.isfinite(volume).all()):
            for channel in volume.numpy():
                channel[...] = fill_nan_background(channel)[0]
        if not bool(torch.isfinite(volume).all()):
            raise VolumeError(f"{path} has NaN or infinite voxels. Repair the file, or remove it from the list.")
        volume.meta["file"] = path
        return volume


def _read(path: str) -> MetaTensor:
    """Read a file as (c, h, w, d) float32.

    MONAI's `LoadImage` is not used, because it creates readers of all formats for each case and prints missing
    packages.
    """
    reader = CheckedNibabelReader()
    values, meta = reader.get_data(reader.read(path))
    volume = MetaTensor.ensure_torch_and_prune_meta(values.astype(np.float32), meta)
    first: MetaTensor = EnsureChannelFirst()(volume)
    return first


def _correct_affine(volume: MetaTensor, codes: str | None, name: str) -> Tensor:
    """Return the affine of a case's grid in the orientation that the list gives, if any."""
    if codes is None:
        affine: Tensor = volume.affine
        return affine
    try:
        return torch.from_numpy(set_directions(read_grid(volume), codes).affine)
    except GridError as error:
        raise GridError(f"The case {name} of the list: {error}") from error


def _zero_background(volume: MetaTensor) -> MetaTensor:
    """Return a sequence (1, h, w, d) with a background of exactly 0 and without extreme values, as in inference."""
    data = volume.numpy()[0]
    clean = remove_background(scale_extremes(data)[0])
    return volume if clean is data else MetaTensor(torch.from_numpy(clean)[None], meta=volume.meta)


def _select_volume(volumes: MetaTensor, index: int | None, path: str) -> MetaTensor:
    """Return the volume (1, h, w, d) at an index of the fourth axis, or the only volume of the file."""
    if volumes.ndim != 4 or not (volumes.shape[0] == 1 if index is None else index < volumes.shape[0]):
        problem = "a sequence is one three-dimensional volume" if index is None else f"there is no volume {index}"
        raise VolumeError(f"{path} has the shape {tuple(volumes.shape[1:])} and {volumes.shape[0]} volumes. {problem}.")
    if index is None:
        return volumes
    volume = MetaTensor(torch.as_tensor(volumes)[index : index + 1].clone(), affine=volumes.affine)
    volume.meta["file"] = path
    return volume


class LabelsToRegionsd(MapTransform):
    """Replace a label map (1, h, w, d) by the masks (3, h, w, d) of WT, TC, ET, as uint8.

    The item's `label_scheme` defines the values (see `domain.label_scheme`). Without it, the scheme is detected from
    the values if possible.

    Raises:
        VolumeError: the map has values outside its scheme, or values that match several schemes.
    """

    def __init__(self) -> None:
        super().__init__("label")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        label = data["label"]
        masks = build_region_masks(
            torch.as_tensor(label[0]), data.get("label_scheme"), name=str(data.get("name", "a case"))
        )
        return {**data, "label": MetaTensor(masks, meta=label.meta, applied_operations=label.applied_operations)}


class CropCandidatesd(Transform):
    """Add possible window centres as `centres`: flat voxel indices of brain, whole tumour and enhancing tumour.

    Belongs in the cached part of the transforms. `RandCropByLabelClassesd(indices_key="centres")` draws from it.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        label = data["label"]
        brain = (data["image"] != 0).any(dim=0)
        kinds = (brain, label[Region.WT.channel] > 0, label[Region.ET.channel] > 0)
        return {**data, "centres": [spread_indices(torch.as_tensor(kind)) for kind in kinds]}


class ToSpacingd(Transform):
    """Resample a z-scored image and its region masks to the model's voxel size, as in inference.

    The field of view is unchanged, and the image's background stays exactly zero. A mask voxel is kept if at least half
    of it is inside. `label` is optional.

    Args:
        spacing_mm: target voxel size. Images within 2 % of it are unchanged.
    """

    def __init__(self, *, spacing_mm: float = 1.0) -> None:
        self.spacing_mm = float(spacing_mm)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = data["image"]
        old = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
        x, y, z = (
            compute_resampled_side(size, float(step), self.spacing_mm)
            for size, step in zip(old, image.pixdim, strict=True)
        )
        if (x, y, z) == old:
            return dict(data)
        result = dict(data)
        affine = torch.from_numpy(read_grid(image).resize((x, y, z)).affine)
        channels = [resample_signal(channel.numpy(), (x, y, z)) for channel in image.as_tensor()]
        result["image"] = MetaTensor(torch.from_numpy(np.stack(channels)), affine=affine)
        if "label" in data:
            masks = [resample(mask.float().numpy(), (x, y, z)) >= 0.5 for mask in data["label"].as_tensor()]
            result["label"] = MetaTensor(torch.from_numpy(np.stack(masks).astype(np.uint8)), affine=affine)
        return result


def build_region_masks(
    labels: Num[Tensor, "h w d"], scheme: str | None = None, *, name: str = "a case"
) -> Shaped[Tensor, "c h w d"]:
    """Return the masks of WT, TC and ET, (3, h, w, d) uint8, of a label map. See `LabelsToRegionsd`.

    Args:
        labels: (h, w, d) label map.
        scheme: name of its label scheme. None detects it from the values.
        name: name of the case for error messages.
    """
    values = to_integer_labels(torch.as_tensor(labels).numpy(), name)
    masks = extract_checked_regions(values, parse_scheme(scheme) if scheme else None, name)
    return torch.from_numpy(np.stack([masks[region] for region in REGIONS]).astype(np.uint8))


class CropToSignald(CropForegroundd):
    """Crop to the box of the voxels with signal in any sequence of `source_key`."""

    def __init__(self, keys: Sequence[str], source_key: str = "image") -> None:
        super().__init__(keys, source_key=source_key, select_fn=has_signal, allow_smaller=True)


def has_signal(image: Float[Tensor, "m h w d"]) -> Bool[Tensor, "m h w d"]:
    """Return the mask of signal in a loaded image, whose background is exactly 0."""
    return image != 0


def spread_indices(mask: Shaped[Tensor, "h w d"]) -> Shaped[Tensor, " n"]:
    """Return the flat indices of up to `CANDIDATES` voxels, spread evenly over a mask."""
    indices = torch.nonzero(mask.flatten()).flatten()
    if len(indices) <= CANDIDATES:
        return indices
    return indices[torch.linspace(0, len(indices) - 1, CANDIDATES).long()]


def _reorder_onto(volume: MetaTensor, first: MetaTensor) -> MetaTensor:
    """Return the volume on the grid of another, if it has the same voxels in another order or a subset of them."""
    new = read_grid(first)
    match = match_lattice(read_grid(volume), new)
    if match is None or not match.lies_in(new.shape):
        raise GridError(
            f"{volume.meta['file']} and {first.meta['file']} have different grids (shapes {tuple(volume.shape[1:])} "
            f"and {tuple(first.shape[1:])}, or different affines). Register and resample the case to one grid first."
        )
    if match.is_stored_alike and match.fills(new.shape):
        return volume
    placed = place_voxels(volume.numpy()[0], match, new.shape)
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(placed))[None], affine=first.affine)


def read_grid(image: Any) -> Grid:
    """Return the grid of a MetaTensor (1, h, w, d) or of a nibabel image."""
    x, y, z = (int(side) for side in image.shape[-3:]) if isinstance(image, MetaTensor) else image.shape[:3]
    return Grid((x, y, z), np.asarray(image.affine, np.float64))
