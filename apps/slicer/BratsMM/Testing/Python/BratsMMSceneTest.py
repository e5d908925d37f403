"""Run in 3D Slicer: show a generated result over a generated volume, and check the display settings."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer

from BratsMMLib.layout import Look
from BratsMMLib.results import read_result
from BratsMMLib.scene import SceneBuilder
from BratsMMLib.sequences import Sequence


class BratsMMSceneTest(unittest.TestCase):
    """Tests of the scene with the application's logics and views."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def volume(self, name, values):
        """Return a volume node with values."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, values)
        return node

    def made_result(self):
        """Return a result folder with a block in the middle."""
        folder = Path(self.folder.name)
        labels = np.zeros((12, 12, 12), np.uint8)
        labels[4:8, 4:8, 4:8] = 1
        regions = {name: {"volume_ml": 0.064, "mean_entropy_inside_nats": None} for name in ("wt", "tc", "et")}
        weights = {sequence.value: dict.fromkeys(("wt", "tc", "et"), 0.5) for sequence in Sequence}
        report = {"sequences_found": ["flair"], "regions": regions, "warnings": []}
        (folder / "report.json").write_text(json.dumps(report))
        (folder / "importance.json").write_text(json.dumps({"weights": weights}))
        entropy = self.volume("made entropy", labels.astype(np.float32) / 2)
        slicer.util.saveNode(entropy, str(folder / "entropy.nii.gz"))
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "made labels")
        slicer.util.updateVolumeFromArray(node, labels)
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "made segments")
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(node, segmentation)
        slicer.util.saveNode(segmentation, str(folder / "segmentation.seg.nrrd"))
        return read_result(folder)

    def test_result_is_laid_over_the_volume(self):
        """The overlay has its window, threshold and opacity in each slice view."""
        result = self.made_result()
        flair = self.volume("FLAIR", np.zeros((12, 12, 12), np.float32))
        shown = SceneBuilder(slicer, slicer.mrmlScene).show(result, {Sequence.FLAIR: flair})
        look = Look().overlay
        self.assertAlmostEqual(shown.entropy.GetDisplayNode().GetWindow(), look.window)
        self.assertAlmostEqual(shown.entropy.GetDisplayNode().GetLowerThreshold(), look.shown_from)
        layers = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
        self.assertEqual(layers.GetBackgroundVolumeID(), flair.GetID())
        self.assertAlmostEqual(layers.GetForegroundOpacity(), look.opacity)


if __name__ == "__main__":
    unittest.main()
