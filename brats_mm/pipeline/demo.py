"""Generate a synthetic head with a tumour, drop sequences, and segment the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brats_mm.data.phantom.head import make_phantom
from brats_mm.domain.availability import Availability, sort_modalities
from brats_mm.domain.label_map import Mask, extract_regions
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.progress import OnProgress
from brats_mm.domain.regions import REGIONS, LabelConvention, Region
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.overlap import compute_overlap, count
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.nifti import write_labels, write_map
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import Segmented, segment
from brats_mm.pipeline.segmenter import Segmenter


@dataclass(frozen=True, eq=False)
class Demo:
    """Result of the demo.

    Attributes:
        head: folder of the synthetic case with all four sequences and the true labels.
        segmented: result for the remaining sequences.
        dice: Dice per region against the true labels. Scores of a synthetic head do not measure the model.
    """

    head: Path
    segmented: Segmented
    dice: Mapping[Region, float]


def write_head(folder: Path, *, seed: int) -> tuple[dict[Modality, Path], dict[Region, Mask]]:
    """Write the sequences and labels of a synthetic head as NIfTI, and return the files and the true regions."""
    phantom = make_phantom(seed)
    grid = phantom.images[MODALITIES[0]].grid
    with OutputFolder(folder) as out:
        for modality in MODALITIES:
            data = phantom.images[modality].data
            name = f"head-{modality.value}.nii.gz"
            write_map(
                out.staged(name), data, grid, description=f"synthetic {modality.label}", maximum=float(data.max())
            )
        write_labels(out.staged("head-seg.nii.gz"), phantom.labels, grid)
    files = {modality: folder / f"head-{modality.value}.nii.gz" for modality in MODALITIES}
    return files, extract_regions(phantom.labels, LabelConvention.BRATS2023)


def run_demo(
    folder: Path, segmenter: Segmenter, *, dropped: Availability, seed: int, on_progress: OnProgress | None = None
) -> Demo:
    """Generate a head in `folder/head`, and segment it without the dropped sequences into `folder/result`.

    Args:
        folder: folder for `head` and `result`.
        segmenter: loaded model.
        dropped: sequences to leave out of the segmentation, not all four.
        seed: random seed of the head.
        on_progress: called with the progress over all stages.
    """
    files, truth = write_head(folder / "head", seed=seed)
    inputs = {modality: files[modality] for modality in sort_modalities(frozenset(MODALITIES) - dropped)}
    request = make_request(inputs, folder / "result", probabilities=True, importance_maps=True, overwrite=True)
    segmented = segment(request, segmenter, on_progress=on_progress)
    dice = {
        region: compute_overlap(count(segmented.prediction.mask(region), truth[region]), EmptyPolicy.BRATS).dice
        for region in REGIONS
    }
    return Demo(folder / "head", segmented, dice)
