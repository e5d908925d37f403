"""`prediction.view()`: a notebook viewer with labels and uncertainty over the image.

The viewer is NiiVue through ipyniivue. Volumes are embedded in the notebook, without network access.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.grey_window import choose_grey_window
from brats_mm.domain.label_map import find_central_voxel
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import SEGMENT_STYLES, LabelConvention, Region
from brats_mm.domain.volume import Array, Grid
from brats_mm.errors import OptionError
from brats_mm.outputs.nifti import write_labels, write_map

_BACKGROUNDS = (Modality.T1CE, Modality.FLAIR, Modality.T1, Modality.T2)
_UNSURE_NATS = 0.35
"""Lower end of the displayed entropy, a quarter of the maximum."""
_HEIGHT_PX = 480
_ENTROPY_MAP = "electric_blue"
"""NiiVue's colour map closest to `domain.display.make_entropy_colours`. NiiVue discards maps that are added before
display."""


def show(prediction: Prediction, *, height_px: int = _HEIGHT_PX) -> Any:
    """Show a prediction as a notebook widget.

    Args:
        prediction: a prediction that holds its images.
        height_px: height of the widget.

    Returns: An `ipyniivue.NiiVue` with the volumes image, labels and entropy, in this order. Set their `opacity`,
        `cal_min` or `colormap` to change the display.

    Raises:
        OptionError: ipyniivue is not installed.
    """
    try:
        from ipyniivue import NiiVue
    except ImportError as error:
        raise OptionError(
            "The viewer needs ipyniivue, which is not installed. Run pip install ipyniivue, and restart the notebook's "
            "kernel."
        ) from error
    # Radiological convention, as in every other output: the patient's right is on the left.
    widget = NiiVue(height=height_px, is_radiological_convention=True, sagittal_nose_left=True)
    widget.load_volumes(build_layers(prediction))
    widget.scene.crosshair_pos = list(find_start_position(prediction))
    widget.volumes[1].set_colormap_label(build_label_colours())
    return widget


def build_layers(prediction: Prediction) -> list[dict[str, Any]]:
    """Return the three volumes, bottom first, as keyword arguments of `ipyniivue.Volume`."""
    case = prediction.case
    modality = next(modality for modality in _BACKGROUNDS if modality in case.volumes)
    image = case.volumes[modality].data
    black, white = choose_grey_window(case.volumes[modality], modality)
    return [
        {
            "name": f"{modality.value}.nii.gz",
            "data": _map_bytes(image - np.float32(black), case.grid, white - black),
            "colormap": "gray",
            "cal_min": 0.0,
            "cal_max": white - black,
            "colorbar_visible": False,
        },
        {
            "name": "segmentation.nii.gz",
            "data": _collect_bytes(lambda path: write_labels(path, prediction.labels(), case.grid)),
            "opacity": 0.5,
            "colorbar_visible": False,
        },
        {
            "name": "entropy.nii.gz",
            "data": _map_bytes(prediction.combined_entropy(), case.grid, MAX_COMPARTMENT_NATS),
            "colormap": _ENTROPY_MAP,
            "opacity": 0.5,
            "cal_min": _UNSURE_NATS,
            "cal_max": MAX_COMPARTMENT_NATS,
        },
    ]


def find_start_position(prediction: Prediction) -> tuple[float, float, float]:
    """Return the centre of the tumour, or of the grid without tumour, in NiiVue's coordinates.

    Returns:
        Fractions of the volume, 0 to 1, from the left, posterior and inferior end.
    """
    grid = prediction.case.grid
    voxel = find_central_voxel(prediction.mask(Region.WT))
    if voxel is None:
        return 0.5, 0.5, 0.5
    shares = [0.0, 0.0, 0.0]
    for axis, (world, sign) in enumerate(grid.ras_axes):
        share = (voxel[axis] + 0.5) / grid.shape[axis]
        shares[world] = share if sign > 0 else 1 - share
    return shares[0], shares[1], shares[2]


def build_label_colours() -> Mapping[str, list[Any]]:
    """Return NiiVue's label colour table of the compartments, with a transparent background."""
    by_value = {LabelConvention.BRATS2023.value_of(compartment): style for compartment, style in SEGMENT_STYLES.items()}
    colours = [(0, 0, 0), *(by_value[value].colour for value in sorted(by_value))]
    return {
        "R": [colour[0] for colour in colours],
        "G": [colour[1] for colour in colours],
        "B": [colour[2] for colour in colours],
        "A": [0] + [255] * len(by_value),
        "I": [0, *sorted(by_value)],
        "labels": ["", *(by_value[value].name for value in sorted(by_value))],
    }


def _map_bytes(data: Array, grid: Grid, maximum: float) -> bytes:
    return _collect_bytes(lambda path: write_map(path, data, grid, description="", maximum=maximum))


def _collect_bytes(write: Callable[[Path], None]) -> bytes:
    """Return the bytes of the compressed NIfTI file that a writer produces."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii.gz"
        write(path)
        return path.read_bytes()
