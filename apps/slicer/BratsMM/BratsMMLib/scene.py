"""Add results to a scene. Slicer's classes are passed in, so that slicer-core works too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from BratsMMLib.display import make_entropy_colours
from BratsMMLib.failures import Refused
from BratsMMLib.grey_window import grey_window
from BratsMMLib.layout import Look, OverlayLook, PlacesLook, SegmentationLook, choose_background
from BratsMMLib.results import NOT_FOR_DIAGNOSIS, CaseResult, UncertainRegion, registered_name
from BratsMMLib.sequences import SEQUENCES, Sequence

VIEWS = ("Red", "Green", "Yellow")
_COLOURS = "Uncertainty colours"
_USER = 13


@dataclass(frozen=True)
class Shown:
    """Nodes of a shown result."""

    segmentation: Any
    entropy: Any
    places: Any
    note: Any
    legend: Any


@dataclass(frozen=True)
class SceneBuilder:
    """Adds results to a scene.

    Attributes:
        slicer: the module with Slicer's classes.
        scene: the MRML scene.
        look: appearance of the results.
    """

    slicer: Any
    scene: Any
    look: Look = field(default_factory=Look)

    def show(self, result: CaseResult, inputs: Mapping[Sequence, Any]) -> Shown:
        """Add nodes for a result, and overlay the uncertainty on the best image.

        The segmentation of raw scans is on the grid of one of them, the reference. The others are shown as registered
        to it, because their own headers may place them elsewhere.

        Args:
            result: result to show.
            inputs: volume node of each used sequence. Results inherit the transform of the reference.

        Raises:
            Refused: a result file cannot be read.
        """
        entropy, legend = self._entropy(result.folder / "entropy.nii.gz")
        segmentation = self._segmentation(result.folder / "segmentation.seg.nrrd")
        places = self._places(result.areas) if result.areas else None
        shown = Shown(segmentation, entropy, places, self._note(result), legend)
        registered = self._registered(result.folder)
        images = {**inputs, **registered}
        background = images[choose_background(set(images))] if images else None
        unmoved = set(inputs) - set(registered)
        reference = inputs[choose_background(unmoved)] if unmoved else None
        for node in (entropy, segmentation, places, *registered.values()):
            if node is not None and reference is not None and reference.GetTransformNodeID():
                node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        if background is not None:
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(background)
        self.lay_over(background, entropy)
        if result.areas:
            self.go_to(result.areas[0].position_mm_ras)
        return shown

    def lay_over(self, background: Any, entropy: Any) -> None:
        """Show the image as background and the uncertainty as foreground in each slice view."""
        for layers in self._nodes("vtkMRMLSliceCompositeNode"):
            if background is not None:
                layers.SetBackgroundVolumeID(background.GetID())
            layers.SetForegroundVolumeID(entropy.GetID())
            layers.SetForegroundOpacity(self.look.overlay.opacity)

    def set_opacity(self, opacity: float) -> None:
        """Set the opacity of the uncertainty in each slice view, 0 to 1."""
        for layers in self._nodes("vtkMRMLSliceCompositeNode"):
            layers.SetForegroundOpacity(opacity)

    def set_shown_from(self, shown: Shown, nats: float) -> None:
        """Hide entropy below a value in nats."""
        shown.entropy.GetDisplayNode().SetLowerThreshold(nats)

    def set_legend(self, shown: Shown, *, visible: bool) -> None:
        """Show or hide the colour legend."""
        if shown.legend is not None:
            shown.legend.SetVisibility(int(visible))

    def go_to(self, position_mm_ras: tuple[float, float, float]) -> None:
        """Move each slice to a point and centre it in the view."""
        for node in self._nodes("vtkMRMLSliceNode"):
            node.JumpSliceByCentering(*position_mm_ras)

    def _nodes(self, kind: str) -> list[Any]:
        count = self.scene.GetNumberOfNodesByClass(kind)
        return [self.scene.GetNthNodeByClass(number, kind) for number in range(count)]

    def _add(self, kind: str, name: str) -> Any:
        node = getattr(self.slicer, kind)()
        node.SetName(name)
        return self.scene.AddNode(node)

    def _registered(self, folder: Path) -> dict[Sequence, Any]:
        """Return the raw scans of a result on the grid of its segmentation as volumes. Empty for other input."""
        paths = {sequence: folder / registered_name(sequence) for sequence in SEQUENCES}
        return {sequence: self._image(path, sequence) for sequence, path in paths.items() if path.is_file()}

    def _image(self, path: Path, sequence: Sequence) -> Any:
        node, display = (
            self._add(f"vtkMRMLScalarVolume{kind}Node", f"{sequence.label}, registered") for kind in ("", "Display")
        )
        self._read(path, node, "vtkMRMLVolumeArchetypeStorageNode")
        node.SetAndObserveDisplayNodeID(display.GetID())
        display.SetDefaultColorMap()
        set_grey_window(display, node, sequence)
        return node

    def _entropy(self, path: Path) -> tuple[Any, Any]:
        look = self.look.overlay
        node, display = (self._add(f"vtkMRMLScalarVolume{kind}Node", look.name) for kind in ("", "Display"))
        self._read(path, node, "vtkMRMLVolumeArchetypeStorageNode")
        node.SetAndObserveDisplayNodeID(display.GetID())
        display.SetAndObserveColorNodeID(self._colour_node().GetID())
        set_overlay(display, look)
        return node, self._legend(node, display, look)

    def _segmentation(self, path: Path) -> Any:
        look = self.look.segmentation
        node, display = (self._add(f"vtkMRMLSegmentation{kind}Node", look.name) for kind in ("", "Display"))
        self._read(path, node, "vtkMRMLSegmentationStorageNode")
        node.SetAndObserveDisplayNodeID(display.GetID())
        node.CreateClosedSurfaceRepresentation()
        set_segmentation(display, look)
        return node

    def _read(self, path: Path, node: Any, kind: str) -> None:
        """Read a file into a node without storage, so that saving the scene asks for a new location."""
        storage = getattr(self.slicer, kind)()
        self.scene.AddNode(storage)
        storage.SetFileName(str(path))
        read = storage.ReadData(node)
        self.scene.RemoveNode(storage)
        if not read:
            raise Refused(f"Slicer cannot read the result {path.name}. Run the case again.")

    def _colour_node(self) -> Any:
        existing = self.scene.GetFirstNodeByName(_COLOURS)
        if existing is not None:
            return existing
        node = self._add("vtkMRMLColorTableNode", _COLOURS)
        table = make_entropy_colours() / 255
        node.SetType(_USER)
        node.SetNumberOfColors(len(table))
        for index, (red, green, blue) in enumerate(table):
            node.SetColor(index, float(red), float(green), float(blue), 1.0)
            node.SetColorName(index, str(index))
        node.GetLookupTable().SetTableRange(0, len(table) - 1)
        return node

    def _legend(self, node: Any, display: Any, look: OverlayLook) -> Any:
        legend = self._add("vtkMRMLColorLegendDisplayNode", "Colour legend")
        legend.SetAndObservePrimaryDisplayNode(display)
        legend.SetAndObserveColorNodeID(display.GetColorNodeID())
        legend.SetTitleText(look.name)
        legend.SetLabelFormat("%.1f")
        legend.SetSize(*look.legend_size)
        legend.SetPosition(*look.legend_position)
        legend.SetVisibility(int(look.legend))
        legend.SetVisibility3D(0)
        node.AddAndObserveDisplayNodeID(legend.GetID())
        return legend

    def _places(self, areas: tuple[UncertainRegion, ...]) -> Any:
        look = self.look.places
        node = self._add("vtkMRMLMarkupsFiducialNode", look.name)
        display = self._add("vtkMRMLMarkupsDisplayNode", look.name)
        node.SetAndObserveDisplayNodeID(display.GetID())
        for area in areas:
            node.AddControlPoint(*area.position_mm_ras, area.label)
        node.SetLocked(1)
        set_places(display, look)
        return node

    def _note(self, result: CaseResult) -> Any:
        node = self._add("vtkMRMLTextNode", "Read this first")
        node.SetText("\n".join([NOT_FOR_DIAGNOSIS, "", *result.messages]))
        return node


def set_overlay(display: Any, look: OverlayLook) -> None:
    """Set window, threshold and smoothness of the entropy's display node."""
    display.SetAutoWindowLevel(0)
    display.SetWindow(look.window)
    display.SetLevel(look.level)
    display.SetAutoThreshold(0)
    display.SetApplyThreshold(1)
    display.SetLowerThreshold(look.shown_from)
    display.SetUpperThreshold(look.shown_to)
    display.SetInterpolate(1)


def set_grey_window(display: Any, node: Any, sequence: Sequence) -> None:
    """Set the grey window that all other outputs use."""
    from vtk.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")
    low, high = grey_window(voxels.astype("float32"), sequence)
    display.SetAutoWindowLevel(0)
    display.SetWindow(high - low)
    display.SetLevel((low + high) / 2)


def set_segmentation(display: Any, look: SegmentationLook) -> None:
    """Show outlines in slices and surfaces in 3D."""
    display.SetVisibility(1)
    display.SetOpacity2DFill(look.fill_opacity)
    display.SetOpacity2DOutline(look.outline_opacity)
    display.SetSliceIntersectionThickness(look.thickness)
    display.SetPreferredDisplayRepresentationName2D("Binary labelmap")
    display.SetPreferredDisplayRepresentationName3D("Closed surface")
    for segment in look.segments:
        display.SetSegmentOpacity3D(segment.id, segment.surface_opacity)


def set_places(display: Any, look: PlacesLook) -> None:
    """Show small crosses with labels."""
    display.SetColor(*look.colour)
    display.SetSelectedColor(*look.colour)
    display.SetPointLabelsVisibility(True)
    display.SetPropertiesLabelVisibility(False)
    display.SetTextScale(look.text_scale)
    display.SetGlyphScale(look.glyph_scale)
    display.SetGlyphTypeFromString("CrossDot2D")
    display.SetOccludedVisibility(True)
