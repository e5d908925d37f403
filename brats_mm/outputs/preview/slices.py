"""Rendering of slices for preview and report: grey image and entropy overlay."""

import numpy as np
import numpy.typing as npt

from brats_mm.domain.display import make_entropy_colours
from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.grey_window import Window
from brats_mm.domain.volume import Array
from brats_mm.outputs.preview.canvas import Picture, resize_slice, tint

_SURE_NATS = 0.05
"""Entropy below which the overlay is transparent."""
_DIMMED = 0.65
"""Brightness of the image under the entropy."""


def render_grey(voxels: npt.NDArray[np.generic], window: Window, *, aspect: float, fit: tuple[int, int]) -> Picture:
    """Render a slice in grey, 0 to 255, resized to square pixels that fit a width and height.

    Args:
        voxels: (rows, columns) of the slice.
        window: values drawn black and white. Values outside exceed the range 0 to 255.
        aspect: voxel height relative to its width.
        fit: width and height in pixels.
    """
    stored = np.asarray(voxels, np.float32)
    height, width = stored.shape[0] * aspect, stored.shape[1]
    scale = min(fit[0] / width, fit[1] / height)
    low, high = window
    return resize_slice(
        (stored - low) * (255 / (high - low)), max(1, round(height * scale)), max(1, round(width * scale))
    )


def grey_to_rgb(grey: Picture) -> Picture:
    """Convert grey to (rows, columns, 3)."""
    return np.repeat(grey[..., None], 3, axis=2)


def draw_entropy(grey: Picture, entropy: Array) -> Picture:
    """Draw entropy over the dimmed image, with an opacity that grows with entropy.

    Args:
        grey: the image, 0 to 255.
        entropy: entropy of the compartments in nats, 0 to ln 4.
    """
    nats = resize_slice(entropy, *grey.shape)
    colours = make_entropy_colours().astype(np.float32)[
        np.clip(np.rint(nats * (255 / MAX_COMPARTMENT_NATS)), 0, 255).astype(np.intp)
    ]
    opacity = np.clip((nats - _SURE_NATS) / 0.3, 0, 0.9)
    return tint(grey_to_rgb(np.clip(grey * _DIMMED, 0, 255)), colours, opacity)
