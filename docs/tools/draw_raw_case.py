"""Draw a raw case as placed by its headers, registered, and segmented: one row each, one column per sequence.

    brats-mm segment CASE -o result --keep-intermediate
    python docs/tools/draw_raw_case.py CASE result -o raw.jpg

The slice is the axial one with most tumour. Orange lines are edges of the reference, which show the quality of the
registration. Show only cases whose licence allows you to publish their images.
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk  # noqa: N813 (the usual abbreviation)

mpl.use("Agg")
import matplotlib.pyplot as plt

from brats_mm.data.datalist import find_item
from brats_mm.domain.modality import MODALITIES, Modality

EDGES, COLOURS = "#ff9900", {1: "#e15759", 2: "#59a14f", 3: "#f2be2c"}
ROWS = ("by the headers", "registered to {}", "stripped and segmented")
SIDE_IN = 2.0


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path, help="folder of the raw case")
    parser.add_argument("result", type=Path, help="its result, with intermediate volumes")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    draw(options.case, options.result, options.output)


def draw(case: Path, result: Path, output: Path) -> None:
    """Draw a segmented case whose intermediate volumes were kept.

    Args:
        case: folder of the raw case.
        result: folder of its results.
        output: picture to write.
    """
    folder = result / "intermediate"
    item = find_item(case.resolve())
    names = [
        modality.value for modality in MODALITIES if item and (folder / f"{modality.value}_registered.nii.gz").is_file()
    ]
    reference = json.loads((result / "report.json").read_text(encoding="utf-8"))["preparation"]["reference"]
    registered = {name: _oriented(sitk.ReadImage(str(folder / f"{name}_registered.nii.gz"))) for name in names}
    grid = registered[reference]
    scans = {name: _onto(grid, sitk.ReadImage(item["image"][name]), sitk.sitkLinear) for name in names}
    labels = _array(_onto(grid, sitk.ReadImage(str(result / "segmentation.nii.gz")), sitk.sitkNearestNeighbor))
    brain = _array(_oriented(sitk.ReadImage(str(folder / "brain_mask.nii.gz")))) > 0
    slice_index = int(np.argmax((labels > 0).sum(axis=(1, 2))))
    edges = _array(sitk.CannyEdgeDetection(sitk.Normalize(grid), 0.2, 1.0, [1.5] * 3))[slice_index]
    figure, panels = plt.subplots(
        3, len(names), figsize=(SIDE_IN * len(names), SIDE_IN * 3), layout="constrained", squeeze=False
    )
    figure.patch.set_facecolor("black")
    for column, name in enumerate(names):
        whole = _array(registered[name])
        for row, volume in enumerate((_array(scans[name]), whole, np.where(brain, whole, 0))):
            axes = panels[row][column]
            axes.imshow(volume[slice_index], cmap="gray", vmin=0, vmax=np.percentile(volume[volume > 0], 99.5))
            if row < 2:
                axes.contour(edges, [0.5], colors=EDGES, linewidths=0.4)
            for value, colour in COLOURS.items() if row == 2 else ():
                if (labels[slice_index] == value).any():
                    axes.contour(labels[slice_index] == value, [0.5], colors=colour, linewidths=0.8)
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(Modality(name).label, color="white", fontsize=8)
            if column == 0:
                axes.set_ylabel(ROWS[row].format(Modality(reference).label), color="white", fontsize=8)
    figure.savefig(output, dpi=120, facecolor="black")
    plt.close(figure)


def _oriented(image: sitk.Image) -> sitk.Image:
    """Return an image whose rows go to the left and to the back, so that the patient's right is on the left."""
    return sitk.DICOMOrient(image, "LPS")


def _onto(grid: sitk.Image, image: sitk.Image, interpolator: int) -> sitk.Image:
    return sitk.Resample(image, grid, sitk.Transform(), interpolator, 0.0, sitk.sitkFloat32)


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


if __name__ == "__main__":
    main()
