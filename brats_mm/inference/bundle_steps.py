"""Transforms and inferer of the bundle's inference config: model grid, engine, label map.

They wrap `prepare`, `run_windows` and `restore`, so MONAI's command line gives the results of the library.
"""

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import InvertibleTransform, MapTransform
from torch import Tensor, nn

from brats_mm.domain.availability import ALL_AVAILABLE, Availability, from_flags, to_flags
from brats_mm.domain.case import Case
from brats_mm.domain.volume import Grid
from brats_mm.inference.engine import BACKGROUND_LOGIT, LogitMap, WindowSettings, run_windows
from brats_mm.inference.prepare import ModelInput, Placement, prepare, restore
from brats_mm.inference.single_backend import create_torch_backend

MAX_CACHED_MAPS = 8
"""Maximum number of maps kept for the postprocessing of their sample."""

AVAILABLE = "available"
"""Metadata key of an image's availability, (m,) booleans."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Case and placement of an image on the model's grid."""

    case: Case
    placement: Placement


class ToModelGridd(MapTransform, InvertibleTransform):
    """Read a case and resample it to the model grid. The inverse brings (c, h, w, d) logits back to the input grid.

    Args:
        key: key of the input of `read` (a folder, or a mapping from sequence to file). Replaced by the (m, h, w, d)
            image.
        read: function that returns a case, such as `pipeline.segment.load_case`.
        spacing_mm: voxel size of the model grid.

    Adds `available`, (m,) booleans for the case's sequences. The output is named by the item's `name`, or else by the
    case's name.
    """

    def __init__(self, key: str, read: Callable[[Any], Case], *, spacing_mm: float = 1.0) -> None:
        super().__init__(key)
        self.key = key
        self.read = read
        self.spacing_mm = float(spacing_mm)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = self.read(data[self.key])
        model_input = prepare(case, self.spacing_mm)
        meta = {"filename_or_obj": f"{data.get('name', case.name)}.nii.gz", "original_affine": case.grid.affine}
        image = MetaTensor(model_input.image, affine=compute_box_affine(model_input.placement), meta=meta)
        self.push_transform(image, extra_info={"placement": model_input.placement, "case": case})
        return {**data, self.key: image, AVAILABLE: model_input.flags}

    def find_origin(self, image: MetaTensor) -> "Origin":
        """Return the case and placement of an image from this transform, possibly after batching."""
        info = self.pop_transform(image.clone())["extra_info"]
        return Origin(info["case"], info["placement"])

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        maps = data[self.key]
        placement: Placement = self.pop_transform(maps)["extra_info"]["placement"]
        restored = np.stack([restore(logits.as_tensor(), placement, outside=BACKGROUND_LOGIT) for logits in maps])
        meta = {**maps.meta, "affine": torch.as_tensor(placement.grid.affine)}
        return {**data, self.key: MetaTensor(torch.from_numpy(restored), meta=meta)}


class EngineInferer(Inferer):
    """The library's sliding windows behind MONAI's inferer interface.

    Args:
        window: window sides in voxels, multiples of 32 from 64.
        overlap: overlap of neighbouring windows as a fraction, 0 to below 1.
        weight_maps: keep each gate weight as a map.
    """

    def __init__(
        self, window: tuple[int, int, int] | list[int], *, overlap: float = 0.5, weight_maps: bool = False
    ) -> None:
        height, width, depth = window
        self.settings = WindowSettings(window=(height, width, depth), overlap=overlap, keep_weight_maps=weight_maps)
        self.device = torch.device("cpu")
        self._maps: deque[LogitMap] = deque(maxlen=MAX_CACHED_MAPS)

    def take_map(self, logits: Float[Tensor, "c h w d"]) -> LogitMap:
        """Remove and return the stored map of these logits, or else return a map with only the logits."""
        for index, logit_map in enumerate(self._maps):
            if logit_map.logits.shape == logits.shape and torch.equal(logit_map.logits.float().cpu(), logits):
                del self._maps[index]
                return logit_map
        window = self.settings.window
        return LogitMap(logits, logits.new_zeros((0, len(logits))), None, window, 0)

    def __call__(
        self, inputs: Float[Tensor, "b m h w d"], network: nn.Module, available: Bool[Tensor, "b m"] | None = None
    ) -> Float[Tensor, "b c h w d"]:
        """Return the logits of whole boxes on the device of the inputs.

        Args:
            inputs: boxes from `ToModelGridd`, one per sample.
            network: a mixture, such as `networks.presets.simmlm()`.
            available: available channels. None counts a channel that is zero over the whole case as missing, for
                callers that pass only image and network.
        """
        device = inputs.device
        backend = create_torch_backend(network, device)
        images = torch.as_tensor(inputs).detach().float().cpu()
        sets = find_available(images) if available is None else [from_flags(row) for row in available.cpu()]
        maps = [
            run_windows(_make_box_input(image, at_hand), backend, self.settings, subsets=[at_hand])[at_hand]
            for image, at_hand in zip(images, sets, strict=True)
        ]
        self.device = device
        self._maps.extend(maps)
        logits = [logit_map.logits for logit_map in maps]
        # Tensors created in inference mode cannot be modified in place later, but clones can.
        return torch.stack(logits).clone().to(device)


def compute_box_affine(placement: Placement) -> npt.NDArray[np.float64]:
    """Return the (4, 4) matrix from voxel indices of the model's box to millimetres in RAS+ patient space."""
    to_input = np.zeros((4, 4))
    to_input[3, 3] = 1
    for axis in range(3):
        source = placement.axes[axis]
        size = placement.grid.shape[source]
        scale = size / placement.model_shape[axis]
        start = (placement.box[axis][0] + 0.5) * scale - 0.5
        to_input[source, axis] = -scale if placement.flipped[axis] else scale
        to_input[source, 3] = size - 1 - start if placement.flipped[axis] else start
    return np.asarray(placement.grid.affine @ to_input)


def find_available(images: Float[Tensor, "b m h w d"]) -> list[Availability]:
    """Return the availability of whole cases: a channel without signal is a missing sequence.

    Args:
        images: (b, m, h, w, d) z-scores of whole cases, zero in missing channels.
    """
    has_content = (images != 0).flatten(2).any(dim=2)
    return [from_flags(row) or ALL_AVAILABLE for row in has_content]


def _make_box_input(image: Float[Tensor, "m h w d"], available: Availability) -> ModelInput:
    masked = image * torch.tensor(to_flags(available))[:, None, None, None]
    brain = (masked != 0).any(dim=0)
    shape = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    placement = Placement(
        grid=Grid(shape, np.eye(4)),
        axes=(0, 1, 2),
        flipped=(False, False, False),
        model_shape=shape,
        box=((0, shape[0]), (0, shape[1]), (0, shape[2])),
    )
    return ModelInput(masked, available, brain if bool(brain.any()) else torch.ones_like(brain), placement)
