"""Nodes of the 3D Slicer scene: images, uncertainty, segments, uncertain regions, views and note."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import Compartment
from brats_mm.domain.volume import Grid
from brats_mm.outputs.scene.mrml import Node, Value

BACKGROUNDS = (Modality.FLAIR, Modality.T1CE, Modality.T2, Modality.T1)
"""Background sequences in order of preference."""

UNCERTAINTY_NAME = "Uncertainty (nats)"
UNCERTAINTY_WINDOW = (0.0, MAX_COMPARTMENT_NATS)
UNCERTAINTY_SHOWN_FROM = 0.2
"""Entropy in nats below which the overlay is hidden. Below it, one compartment has a probability of at least 95 %."""
UNCERTAINTY_OPACITY = 0.5
LEGEND_SIZE, LEGEND_POSITION = (0.1, 0.26), (0.97, 0.9)
"""Size and position as fractions of the view. The upper right corner is free in Slicer."""

FILL_OPACITY = 0.0
"""In slices, segments are drawn as outlines to keep image and uncertainty visible."""
OUTLINE_OPACITY = 1.0
SURFACE_OPACITY: dict[str, float] = {"ed": 0.3, "ncr": 1.0, "et": 0.7}
"""Opacity of segments in 3D, lower for outer compartments."""


SEGMENTATION_FILE = "Data/Segmentation.seg.nrrd"
ENTROPY_FILE = "Data/Uncertainty.nrrd"
COLOURS_FILE = "Data/UncertaintyColours.ctbl"
PLACES_FILE = "Data/UncertainPlaces.mrk.json"

_GREY = "vtkMRMLColorTableNodeGrey"
_COLOURS = "vtkMRMLColorTableNode1"
_SEGMENTATION = "vtkMRMLSegmentationNode1"
_VIEW = "vtkMRMLViewNode1"
_FOUR_VIEWS = 3
"""Slicer's layout id of three slices and a 3D view."""
_VIEW_PX = (600.0, 450.0)
"""Arbitrary view size. Slicer adapts it to its window and keeps the field of view."""
_ROOM = 1.08
"""Field of view relative to the head's bounding box."""
_DISTANCE = 1.1
"""Camera distance of the 3D view relative to the head's diagonal."""

_Vector = npt.NDArray[np.float64]

_PLANES: dict[str, tuple[str, tuple[_Vector, _Vector, _Vector]]] = {
    "Red": ("Axial", (np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))),
    "Green": ("Coronal", (np.array([-1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, 1.0, 0]))),
    "Yellow": ("Sagittal", (np.array([0, -1.0, 0]), np.array([0, 0, 1.0]), np.array([-1.0, 0, 0]))),
}
"""View -> orientation, and the patient directions of its right edge, upper edge and normal."""


@dataclass(frozen=True)
class Image:
    """A sequence in the scene with its grey window."""

    modality: Modality
    window: tuple[float, float]

    @property
    def file(self) -> str:
        """File in the scene's folder."""
        return f"Data/{self.modality.label}.nrrd"

    @property
    def id(self) -> str:
        """Id of the node."""
        return f"vtkMRMLScalarVolumeNode{self.modality.channel + 1}"


@dataclass(frozen=True, eq=False)
class Look:
    """View position: intersection of the slices, and bounding box of the head, in RAS millimetres."""

    at_mm: _Vector
    low_mm: _Vector
    high_mm: _Vector


@dataclass(frozen=True, eq=False)
class Scene:
    """Content of a scene."""

    grid: Grid
    images: tuple[Image, ...]
    background: Modality
    look: Look
    has_places: bool
    note: str

    @property
    def background_id(self) -> str:
        """Id of the background image."""
        return next(image.id for image in self.images if image.modality is self.background)

    @property
    def entropy_id(self) -> str:
        """Id of the uncertainty volume, numbered after the four sequences."""
        return f"vtkMRMLScalarVolumeNode{len(Modality) + 1}"


def build_nodes(scene: Scene) -> Iterator[Node]:
    """Yield the nodes, each after the nodes that it references."""
    yield from _build_colours()
    for image in scene.images:
        yield from _build_image(image)
    yield from _build_uncertainty(scene.entropy_id)
    yield from _build_segmentation(scene.background_id)
    if scene.has_places:
        yield from _build_places()
    yield Node("Text", "vtkMRMLTextNode1", "Read this first", {"text": scene.note})
    yield from _build_views(scene)


def _build_colours() -> Iterator[Node]:
    store = "vtkMRMLColorTableStorageNode1"
    yield Node("ColorTableStorage", store, "Uncertainty colours storage", {"fileName": COLOURS_FILE})
    attributes: dict[str, Value] = {"type": 13, "numcolors": 256, "hideFromEditors": False}
    yield Node("ColorTable", _COLOURS, "Uncertainty colours", attributes, {"storage": [store]})


def _build_image(image: Image) -> Iterator[Node]:
    low, high = image.window
    yield from _build_volume(image.id, image.modality.label, image.file, _build_display(low, high, _GREY))


def _build_uncertainty(name: str) -> Iterator[Node]:
    low, high = UNCERTAINTY_WINDOW
    shown = _build_display(low, high, _COLOURS) | {
        "applyThreshold": 1,
        "lowerThreshold": UNCERTAINTY_SHOWN_FROM,
        "upperThreshold": 2.0,
    }
    legend = "vtkMRMLColorLegendDisplayNode1"
    yield from _build_volume(name, UNCERTAINTY_NAME, ENTROPY_FILE, shown, legend)
    attributes: dict[str, Value] = {
        "colorNodeID": _COLOURS,
        "visibility": True,
        "visibility2D": True,
        "visibility3D": False,
        "titleText": UNCERTAINTY_NAME,
        "labelFormat": "%.1f",
        "numberOfLabels": 5,
        "orientation": "Vertical",
        "size": LEGEND_SIZE,
        "position": LEGEND_POSITION,
    }
    display = name.replace("VolumeNode", "VolumeDisplayNode")
    yield Node("ColorLegendDisplay", legend, "Colour legend", attributes, {"primaryDisplay": [display]})


def _build_display(low: float, high: float, colours: str) -> dict[str, Value]:
    return {
        "window": high - low,
        "level": (high + low) / 2,
        "autoWindowLevel": 0,
        "autoThreshold": 0,
        "applyThreshold": 0,
        "lowerThreshold": low,
        "upperThreshold": high,
        "interpolate": 1,
        "colorNodeID": colours,
    }


def _build_volume(
    name: str, description: str, file: str, attributes: dict[str, Value], *more_displays: str
) -> Iterator[Node]:
    display = name.replace("VolumeNode", "VolumeDisplayNode")
    store = name.replace("ScalarVolumeNode", "VolumeArchetypeStorageNode")
    yield Node(
        "VolumeArchetypeStorage", store, f"{description} storage", {"fileName": file, "centerImage": 0, "singleFile": 1}
    )
    yield Node("VolumeDisplay", display, f"{description} display", attributes)
    yield Node("Volume", name, description, {}, {"display": [display, *more_displays], "storage": [store]})


def _build_segmentation(background: str) -> Iterator[Node]:
    store, display = "vtkMRMLSegmentationStorageNode1", "vtkMRMLSegmentationDisplayNode1"
    yield Node("SegmentationStorage", store, "Tumour segmentation storage", {"fileName": SEGMENTATION_FILE})
    attributes: dict[str, Value] = {
        "visibility": True,
        "visibility2D": True,
        "visibility3D": True,
        "sliceIntersectionThickness": 2,
        "PreferredDisplayRepresentationName2D": "Binary labelmap",
        "PreferredDisplayRepresentationName3D": "Closed surface",
        "Visibility2DFill": True,
        "Visibility2DOutline": True,
        "Opacity3D": 1.0,
        "Opacity2DFill": FILL_OPACITY,
        "Opacity2DOutline": OUTLINE_OPACITY,
        "SegmentationDisplayProperties": "".join(_format_segment(compartment) for compartment in Compartment),
    }
    yield Node("SegmentationDisplay", display, "Tumour segmentation display", attributes)
    references = {"display": [display], "storage": [store], "referenceImageGeometryRef": [background]}
    yield Node("Segmentation", _SEGMENTATION, "Tumour segmentation", {}, references)


def _format_segment(compartment: Compartment) -> str:
    """Format a segment's display properties for Slicer. A colour of -1 keeps the segment's colour."""
    properties = {
        "OverrideColorR": "-1",
        "OverrideColorG": "-1",
        "OverrideColorB": "-1",
        "Visible": "true",
        "Visible3D": "true",
        "Visible2DFill": "true",
        "Visible2DOutline": "true",
        "Opacity3D": f"{SURFACE_OPACITY[compartment.value]:g}",
        "Opacity2DFill": "1",
        "Opacity2DOutline": "1",
        "Pickable": "true",
    }
    return " ".join([compartment.value, *(f"{name}:{value}" for name, value in properties.items())]) + "|"


def _build_places() -> Iterator[Node]:
    store, display = "vtkMRMLMarkupsJsonStorageNode1", "vtkMRMLMarkupsDisplayNode1"
    yield Node("MarkupsJsonStorage", store, "Regions to review storage", {"fileName": PLACES_FILE})
    attributes: dict[str, Value] = {
        "visibility": True,
        "color": (1.0, 0.35, 0.9),
        "selectedColor": (1.0, 0.35, 0.9),
        "pointLabelsVisibility": True,
        "propertiesLabelVisibility": False,
        "textScale": 2.6,
        "glyphType": "CrossDot2D",
        "glyphScale": 2.0,
        "sliceProjection": False,
        "occludedVisibility": True,
    }
    yield Node("MarkupsDisplay", display, "Regions to review display", attributes)
    references = {"display": [display], "storage": [store]}
    yield Node("MarkupsFiducial", "vtkMRMLMarkupsFiducialNode1", "Regions to review", {"locked": True}, references)


def _build_views(scene: Scene) -> Iterator[Node]:
    for colour in _PLANES:
        yield _slice(colour, scene.look)
        yield _build_layers(colour, scene)
    yield from _build_space(scene.look)
    yield Node("Layout", "vtkMRMLLayoutNodevtkMRMLLayoutNode", "Layout", {"currentViewArrangement": _FOUR_VIEWS})
    yield Node(
        "Selection",
        "vtkMRMLSelectionNodeSingleton",
        "Selection",
        {"singletonTag": "Singleton", "activeVolumeID": scene.background_id},
        {"ActiveVolume": [scene.background_id], "SecondaryVolume": [scene.entropy_id]},
    )


def _slice(colour: str, look: Look) -> Node:
    orientation, (across, upward, through) = _PLANES[colour]
    middle, size = (look.low_mm + look.high_mm) / 2, look.high_mm - look.low_mm
    centre = middle + through * (through @ (look.at_mm - middle))
    wide, high = (float(abs(axis) @ size) * _ROOM for axis in (across, upward))
    mm_per_pixel = max(wide / _VIEW_PX[0], high / _VIEW_PX[1], 1e-3)
    to_ras = np.eye(4)
    to_ras[:3] = np.stack([across, upward, through, centre], axis=1)
    return Node(
        "Slice",
        f"vtkMRMLSliceNode{colour}",
        colour,
        {
            "singletonTag": colour,
            "layoutName": colour,
            "sliceVisibility": colour == "Red",
            "orientation": orientation,
            "orientationReference": orientation,
            "fieldOfView": (_VIEW_PX[0] * mm_per_pixel, _VIEW_PX[1] * mm_per_pixel, 1.0),
            "dimensions": (*_VIEW_PX, 1.0),
            "sliceToRAS": [float(value) for value in to_ras.ravel()],
        },
    )


def _build_layers(colour: str, scene: Scene) -> Node:
    return Node(
        "SliceComposite",
        f"vtkMRMLSliceCompositeNode{colour}",
        f"{colour} composite",
        {
            "singletonTag": colour,
            "layoutName": colour,
            "backgroundVolumeID": scene.background_id,
            "foregroundVolumeID": scene.entropy_id,
            "labelVolumeID": "",
            "compositing": 0,
            "foregroundOpacity": UNCERTAINTY_OPACITY,
            "linkedControl": 1,
        },
    )


def _build_space(look: Look) -> Iterator[Node]:
    """Yield the 3D view: black background, looking at the slice intersection from the front, right and above."""
    attributes: dict[str, Value] = {
        "singletonTag": "1",
        "layoutName": "1",
        "backgroundColor": (0.0, 0.0, 0.0),
        "backgroundColor2": (0.0, 0.0, 0.0),
        "boxVisible": False,
        "orientationMarkerType": "cube",
        "orientationMarkerSize": "small",
    }
    yield Node("View", _VIEW, "View1", attributes)
    direction = np.array([0.45, 0.8, 0.4]) / np.linalg.norm([0.45, 0.8, 0.4])
    position = look.at_mm + direction * float(np.linalg.norm(look.high_mm - look.low_mm)) * _DISTANCE
    yield Node(
        "Camera",
        "vtkMRMLCameraNode1",
        "Camera",
        {
            "singletonTag": "1",
            "layoutName": "1",
            "position": position.tolist(),
            "focalPoint": look.at_mm.tolist(),
            "viewUp": (0.0, 0.0, 1.0),
            "parallelProjection": False,
            "parallelScale": 1.0,
        },
    )
