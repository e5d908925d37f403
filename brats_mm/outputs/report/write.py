"""Write the report page of a segmented case, during segmentation or later from the result's files."""

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
    """Render the page of a prediction from the contents of `report.json` and `importance.json`, without a case name."""
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
        result: folder of a segmentation.
        page: file to write. Default: `report.html` in that folder.
        case: folder of the images, to show the anatomy. Without images, outlines are drawn on the shaded brain.
        name: case name to print on the page. None prints no name.
        overwrite: replace an existing page.

    Returns:
        The written page.

    Raises:
        InputError: the result or the case is unusable, or they do not match.
        OutputError: the page exists or cannot be written.
    """
    target = result / PAGE if page is None else page
    if target.exists() and not overwrite:
        message = f"The file {target} already exists. Choose another one with -o, or replace it with --overwrite."
        raise OutputError(message)
    source = read_source(result, None if case is None else read_case(find_case(case)))
    text = render_page(source, name=name, made_on=date.today())
    with OutputFolder(target.parent) as out:
        out.staged(target.name).write_text(text, encoding="utf-8")
    return target
