"""Draw failures of the model: reference, prediction and uncertainty of named cases with named sequences.

    python benchmarks/failure_pictures.py CASES -o failures.jpg \
        --show BraTS2021_00002:t1+t1ce+t2+flair --show BraTS2021_00003:t1

Each case has a row with the axial slice in which reference and prediction differ most. Show only cases with a licence
that allows to publish their images.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import machine
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from brats_mm.domain.availability import Availability, describe
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.domain.volume import Array
from brats_mm.inference.predictor import Predictor
from brats_mm.io.case import read_case
from brats_mm.io.labelled_cases import LabelledCase, list_labelled_cases
from brats_mm.io.reference_labels import read_reference
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.overlap import compute_overlap, count
from brats_mm.pipeline.segmenter import Segmenter

COLOURS = {Region.WT: "#4fc3f7", Region.TC: "#ffd54f", Region.ET: "#ff5252"}

SHOWN_FIRST = (Modality.FLAIR, Modality.T1CE, Modality.T2, Modality.T1)
"""Return the background sequence, one of those that the model saw."""


@dataclass(frozen=True, eq=False)
class Row:
    """One slice of a case, with anterior at the top and the patient's right on the left.

    Attributes:
        title: case, sequences, Dice.
        image: (h, w).
        reference: region -> (h, w) mask.
        prediction: region -> (h, w) mask.
        entropy: (h, w), nats.
    """

    title: str
    image: Array
    reference: dict[Region, Array]
    prediction: dict[Region, Array]
    entropy: Array


def row_of(labelled: LabelledCase, subset: Availability, predictor: Predictor) -> Row:
    """Segment a case with some of its sequences, and select its worst slice."""
    case = read_case(labelled.files)
    masks = read_reference(labelled.label, case.grid, labelled.scheme)
    prediction = predictor.predict_subsets(case, [subset])[subset]
    answer = {region: prediction.mask(region) for region in REGIONS}
    wrong = sum((answer[region] != masks[region]).sum(axis=(0, 1)) for region in REGIONS)
    at = int(np.argmax(wrong))
    scores = (
        f"{region.value.upper()} {compute_overlap(count(answer[region], masks[region]), EmptyPolicy.BRATS).dice:.2f}"
        for region in REGIONS
    )
    image = next(case.volumes[modality].data for modality in SHOWN_FIRST if modality in subset)[..., at]
    rows, columns = (np.flatnonzero((image != 0).any(axis=axis)) for axis in (1, 0))
    brain = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))

    def shown(plane: Array) -> Array:
        return _orient(plane[brain], case.grid.affine)

    return Row(
        f"{case.name}, {describe(subset)}\nDice " + ", ".join(scores),
        shown(image),
        {region: shown(masks[region][..., at]) for region in REGIONS},
        {region: shown(answer[region][..., at]) for region in REGIONS},
        shown(prediction.combined_entropy()[..., at]),
    )


def _orient(plane: Array, affine: Array) -> Array:
    """Return a slice of a grid whose axes are x, y and z, in either direction."""
    turned = plane if affine[0, 0] < 0 else plane[::-1]
    turned = turned if affine[1, 1] < 0 else turned[:, ::-1]
    return np.asarray(turned.T)


def draw(rows: list[Row], path: Path) -> None:
    """Draw one row per case: reference, prediction, entropy."""
    figure, axes = plt.subplots(len(rows), 3, figsize=(9, 4 * len(rows)), squeeze=False, facecolor="black")
    for row, (left, middle, right) in zip(rows, axes, strict=True):
        inside = row.image[row.image != 0]
        low, high = np.percentile(inside, (1, 99.5)) if inside.size else (0.0, 1.0)
        for axis, masks, name in ((left, row.reference, "reference"), (middle, row.prediction, "prediction")):
            axis.imshow(row.image, cmap="gray", vmin=low, vmax=high)
            for region, mask in masks.items():
                if mask.any():
                    axis.contour(mask, [0.5], colors=COLOURS[region], linewidths=1.0)
            axis.set_title(name, color="white", fontsize=9)
        right.imshow(row.entropy, cmap="magma", vmin=0, vmax=np.log(4))
        right.set_title("entropy, 0 to ln 4", color="white", fontsize=9)
        left.text(0, -0.04, row.title, transform=left.transAxes, color="white", fontsize=8, va="top")
        for axis in (left, middle, right):
            axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=110, facecolor="black")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="folder of labelled cases")
    parser.add_argument("--show", action="append", required=True, metavar="CASE:SEQUENCES", help="such as A:t1+flair")
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("-o", "--output", type=Path, default=Path("failures.jpg"))
    options = machine.parse(parser)
    wanted = [shown.split(":") for shown in options.show]
    pictures = {
        labelled.files.name: labelled
        for labelled in list_labelled_cases(options.cases, names=[case for case, _ in wanted])
    }
    predictor = Segmenter.from_bundle(options.bundle).predictor
    draw(
        [
            row_of(pictures[case], frozenset(Modality(name) for name in sequences.split("+")), predictor)
            for case, sequences in wanted
        ],
        options.output,
    )


if __name__ == "__main__":
    main()
