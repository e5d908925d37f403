"""Write docs/gallery.md and its pictures: one synthetic head, segmented with several subsets of its sequences.

    python docs/tools/make_gallery.py

Takes a few minutes on two CPU cores. Run it again after a change of weights, preview or synthetic heads.
"""

import tempfile
from pathlib import Path

from PIL import Image

from brats_mm.domain.availability import Availability, format_subset, sort_modalities
from brats_mm.domain.label_map import Mask
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import REGIONS, Region
from brats_mm.metrics.empty import EmptyPolicy
from brats_mm.metrics.overlap import compute_overlap, count
from brats_mm.pipeline.demo import write_head
from brats_mm.pipeline.request import make_request
from brats_mm.pipeline.segment import segment
from brats_mm.pipeline.segmenter import Segmenter

DOCS = Path(__file__).resolve().parents[1]
SEED = 1
WIDTH = 1100
T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR
SUBSETS: tuple[tuple[Availability, str], ...] = (
    (frozenset({T1, T1CE, T2, FLAIR}), "All four sequences."),
    (frozenset({T1CE, FLAIR}), "Most protocols have these two. Both the core and the oedema are visible."),
    (frozenset({T2, FLAIR}), "Without T1ce, enhancing tumour is hardly visible. Compare the entropy inside the core."),
    (frozenset({T1CE}), "T1ce alone shows the core, and little of the oedema."),
    (frozenset({FLAIR}), "FLAIR alone shows the whole tumour, and little of its parts."),
)
PAGE = """# Gallery

One synthetic head, segmented with different sequences by the weights {version}. Each picture is the `preview.png` that
`brats-mm segment` writes: three planes with the segmentation, the entropy and the weight of each sequence.

> Research software. Not a medical device; not for diagnosis or treatment decisions.

A synthetic head shows how the model reacts to a missing sequence. It does not measure accuracy on patients. For that,
see the [model card](../bundles/brats_mm_segmentation/docs/README.md).

{table}

{sections}
`python docs/tools/make_gallery.py` writes this page and its pictures.

## A real case

![A scan with T1ce in slices of 5.5 mm, before and after preprocessing](pictures/raw_tcga.jpg)

*TCGA-FG-6692 of TCGA-LGG, The Cancer Imaging Archive, CC BY 3.0, as scanned and as the model sees it
([raw scans](raw_scans.md)).*
"""


def main() -> None:
    """Segment the head with each subset, keep the preview as JPEG, and write the page."""
    segmenter = Segmenter.from_bundle()
    rows, sections = [], []
    with tempfile.TemporaryDirectory() as folder:
        files, truth = write_head(Path(folder) / "head", seed=SEED)
        for subset, text in SUBSETS:
            name = format_subset(subset).replace("+", "-")
            out = Path(folder) / name
            request = make_request(
                {modality: files[modality] for modality in sort_modalities(subset)}, out, prepared=True
            )
            prediction = segment(request, segmenter).prediction
            keep_picture(out / "preview.png", DOCS / "pictures" / f"gallery-{name}.jpg")
            title = ", ".join(modality.label for modality in sort_modalities(subset))
            rows.append([title, *(dice(prediction.mask(region), truth[region]) for region in REGIONS)])
            sections.append(f"## {title}\n\n{text}\n\n![Preview with {title}](pictures/gallery-{name}.jpg)\n")
    page = PAGE.format(version=segmenter.predictor.model.version, table=table(rows), sections="\n".join(sections))
    (DOCS / "gallery.md").write_text(page, encoding="utf-8")


def dice(mask: Mask, reference: Mask) -> str:
    """Format the Dice of one region with two decimals."""
    return f"{compute_overlap(count(mask, reference), EmptyPolicy.BRATS).dice:.2f}"


def table(rows: list[list[str]]) -> str:
    """Return a table of the Dice against the head's labels, one row per subset."""
    names = {Region.WT: "whole tumour", Region.TC: "tumour core", Region.ET: "enhancing tumour"}
    head = f"| sequences | {' | '.join(f'{names[region]}, Dice' for region in REGIONS)} |"
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---|" + "---:|" * len(REGIONS), *lines])


def keep_picture(source: Path, target: Path) -> None:
    """Save a picture at the width of the page."""
    with Image.open(source) as picture:
        picture.thumbnail((WIDTH, WIDTH * 4))
        picture.convert("RGB").save(target, quality=82, optimize=True)


if __name__ == "__main__":
    main()
