"""`brats-mm segment`: segment one case with the sequences it has."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.cli.command import EXIT_INPUT, EXIT_OK, Commands, add_command, add_terminal_options
from brats_mm.cli.commands.inspect import add_study_option
from brats_mm.cli.options.bids import add_bids_options
from brats_mm.cli.options.dicom import add_dicom_options, dicom_output
from brats_mm.cli.options.model import add_model_options, load_segmenter
from brats_mm.cli.options.outputs import add_output_options
from brats_mm.cli.options.preprocessing import add_raw_options, preprocessing_options
from brats_mm.cli.options.source import find_source
from brats_mm.cli.output import Console
from brats_mm.cli.result import say_result
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import LabelConvention

if TYPE_CHECKING:
    from brats_mm.outputs.results import OutputOptions


def add(commands: Commands) -> None:
    """Add `brats-mm segment`."""
    parser = add_command(
        commands,
        "segment",
        run,
        help="segment one case with the sequences it has",
        description="Segment one case with the sequences it has. Give a folder or zip, whose sequences are found by "
        "name or by DICOM header, or name the files.\n" + NOT_FOR_DIAGNOSIS,
        epilog="examples:\n  brats-mm segment CASE_FOLDER -o result\n"
        "  brats-mm segment --t1ce a.nii.gz --flair b.nii.gz -o result --probabilities\n"
        "  brats-mm segment DICOM_FOLDER --t1ce 83.17.4 -o result",
    )
    parser.add_argument(
        "case",
        nargs="?",
        type=Path,
        metavar="CASE",
        help="folder or zip of one case, DICOM study, BIDS dataset, 4-D file",
    )
    for modality in MODALITIES:
        parser.add_argument(
            f"--{modality.value}", type=Path, metavar="FILE", help=f"{modality.label} volume, or series of the study"
        )
    add_study_option(parser)
    add_bids_options(parser)
    parser.add_argument(
        "--channels",
        metavar="ORDER",
        help="sequences of a 4-D file, as flair,t1,t1ce,t2, or decathlon (default: as its dataset.json says)",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    add_output_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already in OUT")
    add_raw_options(parser)
    add_dicom_options(parser)
    add_model_options(parser)
    add_terminal_options(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    given = find_source(options, console)
    dicom = dicom_output(options, given.headers)
    segmenter = load_segmenter(options, console)
    from brats_mm.outputs.results import DICOM_WRITTEN
    from brats_mm.pipeline.segment import OutputOptions, segment_to_folder

    wanted = OutputOptions(
        convention=LabelConvention(options.labels),
        probabilities=options.probabilities,
        importance_maps=options.importance_maps,
        preview=not options.no_preview,
        scene=options.scene,
        report=options.report,
        dicom=dicom,
        overwrite=options.overwrite,
    )
    with console.progress("segmenting") as on_window:
        segmented = segment_to_folder(
            given.case,
            options.output,
            segmenter,
            wanted,
            preparation=preprocessing_options(options),
            on_window=on_window,
            on_step=console.say,
        )
    say_result(segmented.report, console)
    console.say(f"\n{len(segmented.files)} files in {options.output}{_to_see(wanted)}.")
    console.document(segmented.report)
    return EXIT_OK if segmented.report.get(DICOM_WRITTEN, True) else EXIT_INPUT


def _to_see(wanted: "OutputOptions") -> str:
    shown = {"a picture in preview.png": wanted.preview, "a page in report.html": wanted.report}
    there = " and ".join(said for said, is_there in shown.items() if is_there)
    return f", with {there}" if there else ""
