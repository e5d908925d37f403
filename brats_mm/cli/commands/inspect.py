"""`brats-mm inspect`: show which series or files of a folder or zip segment would use."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_json_option
from brats_mm.cli.options.generate import add_options, build_options
from brats_mm.cli.options.request import add_sequence_options, collect_sequence_options
from brats_mm.cli.output import Console
from brats_mm.domain.modality import Modality
from brats_mm.pipeline.check import check_input
from brats_mm.pipeline.request import BidsFilter, SegmentRequest

_MAX_LENGTH = 34


def add(commands: Commands) -> None:
    """Add `brats-mm inspect`."""
    parser = add_command(
        commands,
        "inspect",
        run,
        help="show which series or files segment would use",
        description=(
            "Show the series of a DICOM study or the volume files of a case: their assignment to T1, T1ce, T2 and "
            "FLAIR, with reasons and confidence. Reads only names and headers."
        ),
        epilog="examples:\n  brats-mm inspect STUDY_FOLDER\n  brats-mm inspect study.zip --json\n"
        "  brats-mm inspect STUDY_FOLDER --t1ce 83.17.4",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="folder or zip of DICOM or volume files")
    add_sequence_options(parser, "SERIES", "DICOM series to use as {sequence}, or none")
    add_options(parser, SegmentRequest, BidsFilter, without=("series",))
    add_json_option(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm inspect` and return its exit code: 2 if segment would reject the input."""
    check_input(options.path)  # before the imports below, which take a second
    from brats_mm.pipeline.dicom_study import SeriesOverrides
    from brats_mm.pipeline.inspect import inspect_input

    series = {Modality(name): text for name, text in collect_sequence_options(options).items()}
    inspection = inspect_input(options.path, SeriesOverrides(series, options.study, build_options(options, BidsFilter)))
    if inspection["kind"] == "DICOM":
        for study in inspection["studies"]:
            _print_study(study, console)
        for note in inspection["notes"]:
            console.result(f"note     {note}")
    else:
        for name, file in inspection["files"].items():
            console.result(f"found    {Modality(name).label}: {file}")
        _print_summary(inspection, console)
    for name, reason in inspection["ignored"].items():
        console.result(f"ignored  {name}: {reason}")
    for problem in inspection["problems"]:
        console.warn(f"segment would stop: {problem}")
    console.document(inspection)
    return 2 if inspection["problems"] else 0


def _print_study(study: Mapping[str, Any], console: Console) -> None:
    console.result(f"study …{study['study']}")
    head = ("use as", "series", "no.", "description", "is", "sure", "slices", "voxel mm", "plane")
    rows = [head, *(_format_row(series) for series in study["series"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row, series in zip(rows, [None, *study["series"]], strict=True):
        console.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if series is not None:
            console.result(f"          {' '.join(_list_reasons(series))}")
    console.result("")
    _print_summary(study, console)


def _format_row(series: Mapping[str, Any]) -> tuple[str, ...]:
    spacing = " x ".join(f"{value:.3g}" for value in series["spacing_mm"])
    description = series["description"]
    return (
        Modality(series["used_as"]).label if series["used_as"] else "-",
        f"…{series['series']}",
        "" if series["number"] is None else str(series["number"]),
        description if len(description) <= _MAX_LENGTH else f"{description[: _MAX_LENGTH - 1]}…",
        series["kind"],
        f"{series['confidence']:.2f}",
        str(series["slices"]),
        spacing,
        series["orientation"],
    )


def _list_reasons(series: Mapping[str, Any]) -> Sequence[str]:
    reasons = [f"Chosen: {series['why']}."] if series["used_as"] else []
    return [*series["evidence"], *(f"Note: {remark}." for remark in series["remarks"]), *reasons]


def _print_summary(inspection: Mapping[str, Any], console: Console) -> None:
    for name, labels in inspection.get("ambiguous", {}).items():
        console.result(f"ambiguous {Modality(name).label}: {' or '.join(f'…{label}' for label in labels)}")
    if inspection["missing"]:
        console.result(f"missing  {', '.join(Modality(name).label for name in inspection['missing'])}")
    console.result(f"geometry {inspection['geometry']['note']}")
    for name, grid in inspection["geometry"]["grids"].items():
        shape = " x ".join(map(str, grid["shape"]))
        spacing = " x ".join(f"{value:.3g}" for value in grid["spacing_mm"])
        console.result(f"         {Modality(name).label}: {shape} voxels of {spacing} mm")
    for note in inspection["notes"]:
        console.result(f"note     {note}")
