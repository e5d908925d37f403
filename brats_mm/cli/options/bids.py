"""The options that choose from a BIDS dataset. No heavy import."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brats_mm.io.bids import BidsFilter


def add_bids_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose participants, sessions and images of a BIDS dataset."""
    group = parser.add_argument_group("BIDS dataset", "Choose from a BIDS dataset, by labels with or without entity.")
    group.add_argument("--participant", nargs="+", default=(), metavar="LABEL", help="participants, as 01 or sub-01")
    group.add_argument("--session", nargs="+", default=(), metavar="LABEL", help="sessions, as pre or ses-pre")
    group.add_argument(
        "--run", dest="bids_run", metavar="LABEL", help="of images with a run- entity, those with this one"
    )
    group.add_argument("--acquisition", metavar="LABEL", help="of images with an acq- entity, those with this one")


def bids_filter(options: argparse.Namespace) -> "BidsFilter":
    """Return what the options ask for."""
    from brats_mm.io.bids import BidsFilter

    return BidsFilter(tuple(options.participant), tuple(options.session), options.bids_run, options.acquisition)
