"""The report page of a segmented case: as one more result, or later from a result's files."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from brats_mm.domain.prediction import Prediction
from brats_mm.errors import OutputError
from brats_mm.io.case import find_case, read_case
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.report.page import render_page
from brats_mm.outputs.report.source import read_source, source_of

PAGE = "report.html"


def page_of_prediction(prediction: Prediction, report: Mapping[str, Any], importance: Mapping[str, Any]) -> str:
    """The page of a prediction, given the contents of `report.json` and `importance.json`; it names no case."""
    return render_page(source_of(prediction, report, importance), made_on=date.today())


def write_report(
    result: Path,
    page: Path | None = None,
    *,
    case: Path | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page of a result.

    Args:
        result: folder that a segmentation was written to.
        page: file to write; `report.html` in that folder when None.
        case: folder of the images, to show the anatomy; without it the outlines lie on plain ground.
        name: what to call the case on the page; nothing is taken from the files.
        overwrite: replace a page that is there.

    Returns:
        The page that was written.

    Raises:
        InputError: the result or the case cannot be used, or they do not belong together.
        OutputError: there is a page already, or none can be written there.
    """
    target = result / PAGE if page is None else page
    if target.exists() and not overwrite:
        message = f"There is a file {target} already. Name another one with -o, or replace it with --overwrite."
        raise OutputError(message)
    source = read_source(result, None if case is None else read_case(find_case(case)))
    text = render_page(source, name=name, made_on=date.today())
    with OutputFolder(target.parent) as out:
        out.staged(target.name).write_text(text, encoding="utf-8")
    return target
