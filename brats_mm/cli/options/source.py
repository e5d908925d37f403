"""The input of `brats-mm segment`: a case folder, a DICOM study, a zip of either, or single files."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brats_mm.cli.options.bids import bids_filter
from brats_mm.cli.output import Console
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.domain.case import CaseFiles, Scans
    from brats_mm.outputs.dicom.source import SourceSeries
    from brats_mm.pipeline.dicom_study import ChosenStudy


@dataclass(frozen=True, eq=False)
class Given:
    """What there is to segment.

    Attributes:
        case: the sequences.
        headers: of the series that they were read from, where they are DICOM and DICOM results were asked for.
    """

    case: "CaseFiles | Scans"
    headers: "Mapping[Modality, SourceSeries] | None" = None


def find_source(options: argparse.Namespace, console: Console) -> Given:
    """Recognise the sequences and say so; of DICOM and zips the voxels are read as well.

    Raises:
        InputError: there is no usable case; the message says what to do.
    """
    from brats_mm.io.recognise import recognise

    named = {modality: getattr(options, modality.value) for modality in MODALITIES}
    given = {modality: path for modality, path in named.items() if path is not None}
    if options.case is None and not given:
        message = "No input was given. Give a case folder, or files with --t1, --t1ce, --t2, --flair."
        raise OptionError(message)
    if options.case is None:
        _refuse_study(options)
        files = recognise(given)
        say_files(files, console)
        return Given(files)
    return _from_case(options, {modality: str(path) for modality, path in given.items()}, console)


def _from_case(options: argparse.Namespace, given: "dict[Modality, str]", console: Console) -> Given:
    from brats_mm.io.case import read_scans
    from brats_mm.io.case_files import find_bids_case, is_four_dimensional
    from brats_mm.io.channels import parse_order
    from brats_mm.io.recognise import recognise
    from brats_mm.pipeline.dicom_study import SeriesWishes, choose_series, is_dicom_folder, opened, read_chosen

    wanted = bids_filter(options)
    if not wanted.is_empty:
        _refuse_both(options, given)
        files = find_bids_case(options.case, wanted)
        say_files(files, console)
        return Given(files)
    channels = parse_order(options.channels) if options.channels else None
    if is_four_dimensional(options.case) or (options.case.is_dir() and not is_dicom_folder(options.case)):
        _refuse_both(options, given)
        files = recognise(options.case, channels=channels)
        say_files(files, console)
        return Given(files)
    with opened(options.case) as folder:
        if is_dicom_folder(folder):
            chosen = choose_series(folder, SeriesWishes(given, options.study))
            say_files(chosen.files, console)
            return Given(read_chosen(chosen), _headers(chosen, options))
        _refuse_both(options, given)
        files = recognise(folder, channels=channels)
        say_files(files, console)
        return Given(read_scans(files))


def _headers(chosen: "ChosenStudy", options: argparse.Namespace) -> "Mapping[Modality, SourceSeries]":
    if not options.dicom:
        return {}
    from brats_mm.outputs.dicom.results import headers_of

    return headers_of(chosen.choice)


def _refuse_both(options: argparse.Namespace, given: "dict[Modality, str]") -> None:
    if given:
        message = "A case folder and single files were both given; give one or the other."
        raise OptionError(message)
    _refuse_study(options)


def _refuse_study(options: argparse.Namespace) -> None:
    if options.study is not None:
        message = "--study was given, but the input is not DICOM. Leave it out."
        raise OptionError(message)


def say_files(files: "CaseFiles", console: Console) -> None:
    """What was found, what is missing, what was passed over and why."""
    from brats_mm.domain.availability import describe, ordered

    for modality in ordered(files.found):
        console.say(f"found    {modality.label}: {files.found[modality]}")
    if files.missing:
        console.say(f"missing  {describe(files.missing)}")
    for name, reason in files.ignored.items():
        console.say(f"ignored  {name}: {reason}")
    for note in files.notes:
        console.warn(note)
