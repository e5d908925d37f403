"""The command `brats-mm report`."""

import argparse

from brats_mm.cli.output import Console


def report(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm report`."""
    from brats_mm.outputs.report.write import write_report

    page = write_report(
        options.result, options.output, case=options.case, name=options.name, overwrite=options.overwrite
    )
    console.say(f"The page is {page}. Open it in a browser; print it there to have it as PDF.")
    if options.case is None:
        console.say("It shows outlines on plain ground. With --case CASE_FOLDER it shows them on the images.")
    console.document({"page": str(page)})
    return 0
