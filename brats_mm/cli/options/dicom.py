"""The options for DICOM results. No heavy import."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.domain.modality import Modality
    from brats_mm.outputs.dicom.results import DicomOutput
    from brats_mm.outputs.dicom.source import SourceSeries

DICOM_HELP = (
    "A DICOM Segmentation, a Parametric Map of the entropy and a Structured Report with the volumes, on the slices of "
    "the series that the results lie on."
)


def add_dicom_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for DICOM results."""
    group = parser.add_argument_group("DICOM results", DICOM_HELP)
    group.add_argument(
        "--dicom", action="store_true", help="also write dicom/{segmentation,entropy,report}.dcm; needs DICOM input"
    )
    group.add_argument(
        "--dicom-reference",
        type=Path,
        metavar="DIR",
        help="folder of the series that NIfTI input was made from: makes --dicom possible for it",
    )
    group.add_argument(
        "--deidentify", action="store_true", help="take the patient's identity out of the DICOM results (new UIDs)"
    )


def dicom_output(options: argparse.Namespace, inputs: "Mapping[Modality, SourceSeries] | None") -> "DicomOutput | None":
    """The DICOM results that the options ask for; None where they ask for none.

    Args:
        options: of the command line.
        inputs: headers of the series, or None where the input was no DICOM.

    Raises:
        OptionError: the options do not fit the input.
        InputError: the reference cannot be used.
    """
    if not options.dicom and options.dicom_reference is None:
        if options.deidentify:
            message = (
                "--deidentify takes the identity out of DICOM results, and none were asked for: add --dicom. "
                "The other results hold nothing of a patient's identity."
            )
            raise OptionError(message)
        return None
    from brats_mm.outputs.dicom.results import DicomOutput, named_reference

    if inputs is not None:
        if options.dicom_reference is not None:
            message = (
                "--dicom-reference was given, but the input is DICOM itself. Choose the sequence on whose series the "
                "results are to lie with --reference, for example --reference t1ce."
            )
            raise OptionError(message)
        return DicomOutput(inputs=inputs, deidentify=options.deidentify)
    if options.dicom_reference is None:
        message = (
            "--dicom needs a DICOM series for the results to refer to, and the input is no DICOM. Give the study's "
            "folder as input, or the folder of the series that the files were made from with --dicom-reference."
        )
        raise OptionError(message)
    return DicomOutput(named=named_reference(options.dicom_reference), deidentify=options.deidentify)
