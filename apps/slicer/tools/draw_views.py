"""Draw a scene file with the core of 3D Slicer: three slice views and the 3D view, without a screen.

    python apps/slicer/tools/draw_views.py result/scene.mrb -o views.png

Images, segments, points and legend are drawn by the slice logic and the displayable managers of `slicer-core`, which
are those of 3D Slicer. Not drawn: Slicer's window around them, and the corner annotations of its views.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from PIL import Image
from vtkmodules.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
)
SPACE_MANAGERS = (
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
)
SIZE = (760, 560)


def open_scene(path: Path) -> tuple[Any, list[Any]]:
    """Return the scene, and the objects to keep alive while it is used."""
    scene, application = slicer.vtkMRMLScene(), slicer.vtkMRMLApplicationLogic()
    for kind in ("Selection", "Interaction"):
        scene.AddNode(getattr(slicer, f"vtkMRML{kind}Node")())
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(tempfile.mkdtemp())
    scene.SetCacheManager(remote.GetCacheManager())
    scene.SetDataIOManager(remote.GetDataIOManager())
    slices = vtk.vtkCollection()
    application.SetSliceLogics(slices)
    logics = [slicer.vtkMRMLColorLogic(), slicer.vtkSlicerSegmentationsModuleLogic(), slicer.vtkSlicerMarkupsLogic()]
    for logic in (application, *logics):
        logic.SetMRMLScene(scene)
    application.SetColorLogic(logics[0])
    for name, logic in (("Colors", logics[0]), ("Segmentations", logics[1]), ("Markups", logics[2])):
        application.SetModuleLogic(name, logic)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    messages = slicer.vtkMRMLMessageCollection()
    if not scene.ReadFromMRB(str(path), False, messages):
        raise SystemExit(messages.GetAllMessagesAsString())
    return scene, [application, slices, remote, *logics]


def draw_slice(scene: Any, application: Any, colour: str, *, closer: float = 1.0) -> Image.Image:
    """Draw a blended slice view with outlines, points and the legend, magnified `closer` times around the first
    point.
    """
    node = scene.GetNodeByID(f"vtkMRMLSliceNode{colour}")
    if closer > 1:
        wide, high, deep = node.GetFieldOfView()
        node.SetFieldOfView(wide / closer, high / closer, deep)
        node.JumpSliceByCentering(*scene.GetFirstNodeByName("Regions to review").GetNthControlPointPositionWorld(0))
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(scene)
    logic.SetMRMLApplicationLogic(application)
    logic.SetSliceNode(node)
    application.GetSliceLogics().AddItem(logic)
    logic.ResizeSliceNode(*SIZE)
    logic.UpdatePipeline()
    window, renderer = _window()
    mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
    mapper.SetInputConnection(logic.GetImageDataConnection())
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    actor.SetMapper(mapper)
    renderer.AddViewProp(actor)
    group = _managers(slicer.vtkMRMLSliceViewDisplayableManagerFactory, SLICE_MANAGERS, application, renderer, node)
    return _picture(window, group)


def draw_space(scene: Any, application: Any) -> Image.Image:
    """Draw the 3D view from the scene's camera."""
    node, stored = scene.GetFirstNodeByClass("vtkMRMLViewNode"), scene.GetFirstNodeByClass("vtkMRMLCameraNode")
    window, renderer = _window()
    renderer.SetBackground(0, 0, 0)
    group = _managers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, SPACE_MANAGERS, application, renderer, node)
    renderer.SetActiveCamera(stored.GetCamera())
    renderer.ResetCameraClippingRange()
    return _picture(window, group)


def _window() -> tuple[Any, Any]:
    window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(4)
    window.SetSize(*SIZE)
    window.SetNumberOfLayers(3)  # the legend has its own layer
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    window.kept = interactor
    return window, renderer


def _managers(kind: Any, names: tuple[str, ...], application: Any, renderer: Any, node: Any) -> Any:
    factory = kind.GetInstance()
    factory.SetMRMLApplicationLogic(application)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = factory.InstantiateDisplayableManagers(renderer)
    group.SetMRMLDisplayableNode(node)
    # In Slicer's window, the views exist before a scene is opened. Here they are created later, and the manager of
    # legends only reacts to new nodes.
    scene = node.GetScene()
    legend = scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    if legend is not None and "vtkMRMLColorLegendDisplayableManager" in names:
        scene.InvokeEvent(slicer.vtkMRMLScene.NodeAddedEvent, legend)
    return group


def _picture(window: Any, group: Any) -> Image.Image:
    window.Render()
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3]
    group.SetMRMLDisplayableNode(None)
    return Image.fromarray(np.ascontiguousarray(pixels))


def main() -> None:
    """Write the four views as one image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--closer", type=float, default=1.0, help="draw one axial view at this magnification")
    options = parser.parse_args()
    scene, kept = open_scene(options.scene)
    if options.closer > 1:
        draw_slice(scene, kept[0], "Red", closer=options.closer).save(options.output, quality=90)
        return
    views = [draw_slice(scene, kept[0], "Red"), draw_space(scene, kept[0])]
    views += [draw_slice(scene, kept[0], colour) for colour in ("Green", "Yellow")]
    gap = 6
    page = Image.new("RGB", (2 * SIZE[0] + gap, 2 * SIZE[1] + gap), (60, 62, 66))
    for number, view in enumerate(views):
        page.paste(view, ((number % 2) * (SIZE[0] + gap), (number // 2) * (SIZE[1] + gap)))
    page.save(options.output, quality=88)


if __name__ == "__main__":
    main()
