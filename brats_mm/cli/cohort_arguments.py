"""The options of `brats-mm cohort`. No heavy import."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brats_mm.cli.output_arguments import add_output_options
from brats_mm.cli.raw_arguments import add_raw_options
from brats_mm.cohort.records import Layout
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS

AddOptions = Callable[[argparse.ArgumentParser], None]


def add_cohort(commands: Any, formatter: Any, add_model_options: AddOptions, add_talk_options: AddOptions) -> None:
    """`brats-mm cohort`."""
    parser = commands.add_parser(
        "cohort",
        help="segment any number of cases, on this machine or a cluster",
        description="Segment any number of cases. Give a CSV or Parquet table with a line a case, a BIDS dataset, or a "
        "folder with a sub-folder a case. Run the same command again after a stop: what is done is not done again. A "
        "case that fails stops no other.\n" + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm cohort CASES -o results\n"
        "  brats-mm cohort cases.csv -o results --workers 4 --layout bids\n"
        "  brats-mm cohort cases.parquet -o results --ray auto --workers 40",
        formatter_class=formatter,
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="table, BIDS dataset or folder of folders")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for all results")
    _add_engine(parser)
    _add_output(parser)
    add_raw_options(parser)
    add_model_options(parser)
    add_talk_options(parser)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what computes")
    group.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes with the model loaded; they share cores and GPUs"
    )
    group.add_argument(
        "--ray", metavar="ADDRESS", help="workers on a Ray cluster: its address, or auto for the one this machine is in"
    )
    group.add_argument(
        "--ray-cores", type=float, default=2, metavar="N", help="cores that a worker of the cluster gets"
    )
    group.add_argument("--ray-gpus", type=float, default=0, metavar="N", help="GPUs, or the share of one, that it gets")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument(
        "--layout",
        choices=[layout.value for layout in Layout],
        default=Layout.PLAIN.value,
        help="a folder a case, or a BIDS derivative dataset",
    )
    group.add_argument("--table", choices=("parquet", "csv"), default="parquet", help="format of the table of results")
    add_output_options(group)
