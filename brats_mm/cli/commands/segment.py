"""`brats-mm segment`: segment one case from its available sequences."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from brats_mm.cli.command import EXIT_INPUT, EXIT_OK, Commands, add_command
from brats_mm.cli.options.common import add_terminal_options
from brats_mm.cli.options.generate import add_options, build_options
from brats_mm.cli.options.request import (
    add_sequence_options,
    collect_sequence_options,
    load_segmenter,
    print_loaded,
)
from brats_mm.cli.output import Console
from brats_mm.cli.result import print_result
from brats_mm.domain.counting import format_count
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.options import DICOM_WRITTEN, OutputOptions
from brats_mm.errors import OptionError
from brats_mm.pipeline.check import check
from brats_mm.pipeline.request import SECTIONS, SegmentRequest, make_request

if TYPE_CHECKING:
    from brats_mm.domain.case import CaseFiles


def add(commands: Commands) -> None:
    """Add `brats-mm segment`."""
    parser = add_command(
        commands,
        "segment",
        run,
        help="segment one case from its available sequences",
        description=(
            "Segment one case from its available sequences. Provide a folder or zip, or one file per sequence "
            "(--t1, --t1ce, --t2, --flair). The sequences in a folder or zip are recognised by file name or DICOM "
            "header.\n"
        )
        + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm segment CASE_FOLDER -o result\n"
        "  brats-mm segment --t1ce a.nii.gz --flair b.nii.gz -o result --probabilities\n"
        "  brats-mm segment DICOM_FOLDER --t1ce 83.17.4 -o result",
    )
    parser.add_argument(
        "case", nargs="?", metavar="CASE", help="folder or zip of one case, DICOM study, BIDS dataset, or 4-D file"
    )
    parser.add_argument("-i", "--input", metavar="CASE", help="same as CASE, as an option")
    add_sequence_options(parser, "FILE", "{sequence} volume, or series of the study")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder for the results")
    parser.add_argument(
        "--channels",
        metavar="ORDER",
        help="sequences of a 4-D file, such as flair,t1,t1ce,t2, or decathlon (default: from its dataset.json)",
    )
    add_options(parser, SegmentRequest, *SECTIONS.values(), without=("series",))
    add_terminal_options(parser, "the report as one JSON document")


def build_request(options: argparse.Namespace) -> SegmentRequest:
    """Return the request for the options.

    Raises:
        OptionError: an option has an invalid value, or options contradict each other.
    """
    if options.case is not None and options.input is not None:
        raise OptionError(f"Two inputs were given, {options.case} and --input {options.input}. Specify only one.")
    source = _read_channels(options) or options.case or options.input
    request = make_request(source, options.output, study=options.study, **collect_sequence_options(options))
    return replace(request, **{name: build_options(options, kind) for name, kind in SECTIONS.items()})


def _read_channels(options: argparse.Namespace) -> "CaseFiles | None":
    """Return the sequences of a 4-D file in the given order, or None if `--channels` is not set."""
    source = options.case or options.input
    if options.channels is None:
        return None
    if source is None:
        raise OptionError("--channels names the volumes of an input. Provide a file or folder.")
    from brats_mm.io.channels import parse_order
    from brats_mm.io.recognise import recognise

    return recognise(source, channels=parse_order(options.channels))


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm segment` and return its exit code."""
    request = build_request(options)
    check(request)  # before the imports below, which take seconds
    from brats_mm.pipeline.segment import segment

    with console.progress() as on_progress:
        segmented = segment(
            request,
            lambda: load_segmenter(request.model, console),
            on_load=lambda loaded: print_loaded(loaded, console),
            on_progress=on_progress,
        )
    print_result(segmented.report, console)
    console.say(
        f"\nWrote {format_count(len(segmented.files), 'file')} to {options.output}"
        f"{_format_viewing_hint(request.outputs)}."
    )
    console.document(segmented.report)
    return EXIT_OK if segmented.report.get(DICOM_WRITTEN, True) else EXIT_INPUT


def _format_viewing_hint(outputs: OutputOptions) -> str:
    outputs_by_text = {"a picture in preview.png": outputs.preview, "a page in report.html": outputs.report}
    names = " and ".join(text for text, is_written in outputs_by_text.items() if is_written)
    return f", with {names}" if names else ""
