"""`brats-mm cohort`: segment many cases."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.cli.command import EXIT_OK, Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.options.generate import add_options, build_options
from brats_mm.cli.output import Console
from brats_mm.cli.system import choose_interrupt_code
from brats_mm.cohort.records import Layout
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.errors import OptionError
from brats_mm.pipeline.request import SECTIONS, BidsFilter, SegmentRequest

if TYPE_CHECKING:
    from brats_mm.cohort.records import CaseTask, TaskResult
    from brats_mm.cohort.run import CohortStatus
    from brats_mm.execution.tasks import Engine, MakeRunner

EXIT_FAILURES = 2
_OF_ONE_CASE = ("overwrite", "dicom_reference", "brain_mask")
"""Request options that apply only to single cases."""


def add(commands: Commands) -> None:
    """Add `brats-mm cohort`."""
    parser = add_command(
        commands,
        "cohort",
        run,
        help="segment many cases, on this machine or a cluster",
        description="Segment many cases. Provide a CSV or Parquet table with one row per case, a BIDS dataset, or a "
        "folder with one subfolder per case. To resume an interrupted run, run the same command again. A failed case "
        "does not stop the others.\n" + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm cohort CASES -o results\n"
        "  brats-mm cohort cases.csv -o results --workers 4 --layout bids\n"
        "  brats-mm cohort BIDS -o results --session pre --acquisition mprage\n"
        "  brats-mm cohort cases.parquet -o results --ray auto --workers 40",
    )
    parser.add_argument("manifest", nargs="?", metavar="MANIFEST", help="table, BIDS dataset or folder of case folders")
    parser.add_argument("-i", "--input", metavar="MANIFEST", help="same as MANIFEST, as an option")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for all results")
    _add_engine(parser)
    _add_results(parser)
    add_options(parser, *SECTIONS.values(), without=_OF_ONE_CASE)
    add_terminal_options(parser)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what computes")
    group.add_argument(
        "--workers", type=int, default=1, metavar="N", help="number of processes, which share cores and GPUs"
    )
    group.add_argument(
        "--ray", metavar="ADDRESS", help="run on a Ray cluster: an address, or auto for the cluster of this machine"
    )
    group.add_argument("--ray-cores", type=float, default=2, metavar="N", help="CPU cores per worker on the cluster")
    group.add_argument(
        "--ray-gpus", type=float, default=0, metavar="N", help="GPUs per worker on the cluster, which may be a fraction"
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument(
        "--layout",
        choices=[layout.value for layout in Layout],
        default=Layout.PLAIN.value,
        help="one folder per case, or a BIDS derivative dataset",
    )
    group.add_argument("--table", choices=("parquet", "csv"), default="parquet", help="format of the results table")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm cohort` and return its exit code: 2 if a case failed."""
    request = build_request(options)
    from brats_mm.cohort.manifest import open_manifest
    from brats_mm.cohort.model import SegmentCases
    from brats_mm.cohort.run import CohortSettings, compute_identity, run_cohort
    from brats_mm.cohort.tables import TableFormat

    source, layout = Path(options.manifest or options.input), Layout(options.layout)
    manifest = open_manifest(source, request.bids)
    console.say(f"{_format_cases(manifest.count)} in {source}.")
    settings = CohortSettings(
        compute_identity(request, layout), layout, request.outputs.labels, TableFormat(options.table)
    )
    engine = _create_engine(options, SegmentCases(replace(request, bids=BidsFilter()), layout))
    try:
        status = run_cohort(manifest, options.output, engine, settings, on_case=lambda now: _print_status(now, console))
    except KeyboardInterrupt as interrupt:
        console.error("Interrupted. Finished cases are kept. Run the same command to continue.")
        return choose_interrupt_code(interrupt)
    if status.failed:
        console.warn(f"{_format_cases(status.failed)} failed. See {options.output / 'failures.csv'} for the reasons.")
    if status.lost:
        console.warn(
            f"Result files of {_format_cases(status.lost)} from an earlier run were missing or had a different size. "
            "These cases were computed again."
        )
    console.say(
        f"{_format_cases(status.done)} segmented, {status.skipped} unchanged, {status.failed} failed. The table is "
        f"{options.output / f'results.{options.table}'}."
    )
    console.document({name: getattr(status, name) for name in ("total", "done", "skipped", "failed", "lost")})
    return EXIT_FAILURES if status.failed else EXIT_OK


def build_request(options: argparse.Namespace) -> SegmentRequest:
    """Return the request for every case of the cohort.

    Raises:
        OptionError: an option has an invalid value, or options contradict each other.
    """
    if (options.manifest is None) == (options.input is None):
        raise OptionError("Expected one manifest. Provide a single table, BIDS dataset or folder of case folders.")
    request = SegmentRequest(**{name: build_options(options, kind) for name, kind in SECTIONS.items()})
    if options.workers < 1:
        raise OptionError(f"--workers is {options.workers}. It must be at least 1.")
    if options.layout == Layout.BIDS.value:
        extra = {"--keep-intermediate": options.keep_intermediate, "--dicom": options.dicom}
        for flag in (flag for flag, is_set in extra.items() if is_set):
            raise OptionError(f"{flag} writes folders that BIDS does not allow. Omit it, or use --layout plain.")
    return request


def _create_engine(options: argparse.Namespace, make_runner: "MakeRunner") -> "Engine[CaseTask, TaskResult]":
    if options.ray is None:
        from brats_mm.execution.local_engine import LocalEngine

        return LocalEngine(make_runner, options.workers)
    from brats_mm.execution.ray_engine import RayEngine

    return RayEngine(make_runner, options.ray, options.workers, cores=options.ray_cores, gpus=options.ray_gpus)


def _print_status(status: "CohortStatus", console: Console) -> None:
    """Print a line for each computed case, and for every thousandth skipped case."""
    if status.detail:
        console.warn(f"{status.name} failed: {status.detail}")
    if not status.was_skipped or status.skipped % 1000 == 0:
        remaining = "" if status.left_s is None else f", {_format_duration(status.left_s)} left"
        console.say(f"{status.ended} of {status.total}{remaining}: {status.name}")


def _format_cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"


def _format_duration(seconds: float) -> str:
    """Format a duration as `3 min`, `2 h 05 min` or `4 d 11 h`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
