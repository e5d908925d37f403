"""Write the report page of an earlier result, from its files."""

from datetime import date
from pathlib import Path

from brats_mm.errors import OutputError
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.report.page import render_page
from brats_mm.outputs.report.source import read_source
from brats_mm.pipeline.load import load
from brats_mm.pipeline.request import make_request

PAGE = "report.html"


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
        case: the segmented case, prepared or raw, like the input of `brats-mm segment`. Without images, outlines are
            drawn on the shaded brain. Registered scans in the result are always shown.
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
        raise OutputError(
            f"The file {target} already exists. Choose another one with -o, or replace it with --overwrite."
        )
    source = read_source(result, None if case is None else load(make_request(case)).case)
    text = render_page(source, name=name, made_on=date.today())
    with OutputFolder(target.parent) as out:
        out.staged(target.name).write_text(text, encoding="utf-8")
    return target
