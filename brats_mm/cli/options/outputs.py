"""The options for what is written of a case, shared by one case and many. No heavy import."""

import argparse

from brats_mm.domain.regions import LabelConvention


def add_output_options(options: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add label values and further files to a parser or a group of options."""
    options.add_argument(
        "--labels",
        choices=[convention.value for convention in LabelConvention],
        default=LabelConvention.BRATS2023.value,
        help="label values: enhancing tumour is 3 (brats2023) or 4 (brats2021)",
    )
    options.add_argument("--probabilities", action="store_true", help="also write probability_{wt,tc,et}.nii.gz")
    options.add_argument("--importance-maps", action="store_true", help="also write each gate weight as a map")
    options.add_argument("--scene", action="store_true", help="also write scene.mrb: all of it for 3D Slicer")
    options.add_argument("--no-preview", action="store_true", help="write no preview.png")
    options.add_argument("--report", action="store_true", help="also write report.html, a page to read and to print")
