"""Options that select from a BIDS dataset. Imports nothing heavy."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brats_mm.io.bids import BidsFilter


def add_bids_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select participants, sessions and images of a BIDS dataset."""
    group = parser.add_argument_group("BIDS dataset", "Select by labels, with or without their entity.")
    group.add_argument(
        "--participant", nargs="+", default=(), metavar="LABEL", help="participants, such as 01 or sub-01"
    )
    group.add_argument("--session", nargs="+", default=(), metavar="LABEL", help="sessions, such as pre or ses-pre")
    group.add_argument("--run", dest="bids_run", metavar="LABEL", help="run to use if images have a run- entity")
    group.add_argument("--acquisition", metavar="LABEL", help="acquisition to use if images have an acq- entity")


def bids_filter(options: argparse.Namespace) -> "BidsFilter":
    """Return the filter for the options."""
    from brats_mm.io.bids import BidsFilter

    return BidsFilter(tuple(options.participant), tuple(options.session), options.bids_run, options.acquisition)
