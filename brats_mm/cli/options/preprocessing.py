"""The options for raw scans. No heavy import."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.domain.modality import MODALITIES
from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.domain.preprocessing import PreprocessingOptions

RAW_HELP = (
    "Raw scans (different grids, thick slices, with skull) are recognised, registered, brought to 1 mm and stripped; "
    "the results lie on the grid of one of them. Input prepared as BraTS data are is left alone."
)


def add_raw_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for raw scans."""
    group = parser.add_argument_group("raw scans", RAW_HELP)
    kinds = group.add_mutually_exclusive_group()
    kinds.add_argument("--raw", action="store_true", help="prepare the input, whatever it looks like")
    kinds.add_argument("--prepared", action="store_true", help="leave the input alone; different grids are an error")
    group.add_argument(
        "--reference",
        choices=[modality.value for modality in MODALITIES],
        metavar="SEQUENCE",
        help="sequence on whose grid the results lie: t1, t1ce, t2 or flair (else the one with the thinnest slices)",
    )
    group.add_argument(
        "--grid-tolerance",
        type=float,
        default=0.5,
        metavar="VOXELS",
        help="how far off another sequence's voxels may lie to count as the same, 0 to 0.5 (default: 0.5)",
    )
    group.add_argument(
        "--brain-mask", type=Path, metavar="FILE", help="brain mask to use instead of extracting the brain"
    )
    group.add_argument("--n4", action="store_true", help="even out uneven brightness (N4)")
    group.add_argument(
        "--keep-intermediate", action="store_true", help="also write registered volumes, brain mask and transforms"
    )


def preprocessing_options(options: argparse.Namespace) -> "PreprocessingOptions":
    """The preprocessing that the options ask for."""
    from brats_mm.domain.input_kind import InputKind
    from brats_mm.domain.modality import Modality
    from brats_mm.domain.preprocessing import PreprocessingOptions

    if not 0 <= options.grid_tolerance <= 0.5:
        message = f"--grid-tolerance is {options.grid_tolerance:g}. It must be 0 to 0.5 voxels."
        raise OptionError(message)
    kind = InputKind.RAW if options.raw else InputKind.PREPARED if options.prepared else None
    return PreprocessingOptions(
        kind=kind,
        reference=None if options.reference is None else Modality(options.reference),
        n4=options.n4,
        keep_intermediate=options.keep_intermediate,
        grid_tolerance=options.grid_tolerance,
        brain_mask=options.brain_mask,
    )
