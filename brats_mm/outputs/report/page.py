"""Report page: one self-contained HTML file of a segmented case, for screen and print.

The page has no scripts and loads nothing. It contains no name, date or header field of the input, except a case name
that the caller passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from brats_mm.domain.display import UNKNOWN_FACTOR, format_ml, round_percent
from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGION_COLOURS, REGIONS, Region
from brats_mm.outputs.report.pictures import Drawing, Drawn, format_entropy_gradient
from brats_mm.outputs.report.source import ReportSource, build_source
from brats_mm.outputs.report.steps import list_step_rows

MAX_CLOSE_UPS = 6
"""Number of uncertain regions shown with images. The others are listed in a table."""

_TEMPLATES = Path(__file__).parent / "templates"
_TEMPLATE = "report.html.jinja"

_USES = {
    Modality.T1: "anatomy",
    Modality.T1CE: "enhancing tumour and core",
    Modality.T2: "oedema and fluid",
    Modality.FLAIR: "oedema, fluid suppressed",
}


@dataclass(frozen=True)
class Heading:
    """Position for a viewer: millimetres with letters, and slices counted from 1."""

    millimetres: str
    slices: tuple[str, ...]


@dataclass(frozen=True)
class ReviewRegion:
    """An uncertain region as shown on the page."""

    area: Mapping[str, Any]
    region: Region
    also: tuple[Region, ...]
    heading: Heading
    pictures: tuple[Drawn, ...]


def render_page(source: ReportSource, *, name: str | None = None, made_on: date | None = None) -> str:
    """Render the page as HTML.

    Args:
        source: the segmented case.
        name: case name to print. None prints no name.
        made_on: date to print. None prints no date.
    """
    drawing = Drawing(source)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ml": format_ml, "percent": round_percent, "sentence": _to_sentence}
    report = source.report
    return environment.get_template(_TEMPLATE).render(
        report=report,
        name=name,
        made_on=None if made_on is None else f"{made_on.day} {made_on:%B %Y}",
        sequences=[(m, m.value in report["sequences_found"], _USES[m]) for m in MODALITIES],
        regions=REGIONS,
        outlines={region: "rgb({}, {}, {})".format(*colour) for region, colour in REGION_COLOURS.items()},
        largest_ml=_compute_axis_ml(report),
        is_axis_cut=max(_list_upper_limits(report)) > _compute_axis_ml(report),
        unknown_factor=UNKNOWN_FACTOR,
        rows=drawing.render_rows(),
        absent=[region for region in REGIONS if not source.masks[region].any()],
        with_images=bool(source.images),
        places=_list_regions_to_review(source, drawing),
        close_looks=MAX_CLOSE_UPS,
        weights=source.importance["weights"],
        left_out=source.importance.get("leave_one_out", {}).get("changes"),
        modalities=MODALITIES,
        found=[Modality(value) for value in report["sequences_found"]],
        missing=[Modality(value) for value in report["sequences_missing"]],
        entropy_colours=format_entropy_gradient(),
        most_nats=MAX_COMPARTMENT_NATS,
        steps=list_step_rows(report.get("preparation")),
        trust=report.get("trust"),
    )


def _compute_axis_ml(report: Mapping[str, Any]) -> float:
    """Return the upper end of the volume axis: the largest upper limit, at most three times the largest volume."""
    limits = _list_upper_limits(report)
    largest = max(float(report["regions"][region.value]["volume_ml"]) for region in REGIONS)
    return max(1e-3, min(max(limits), 3 * largest) if largest > 0 else max(limits))


def _list_upper_limits(report: Mapping[str, Any]) -> list[float]:
    """Return the upper limit of each region's volume."""
    regions = [report["regions"][region.value] for region in REGIONS]
    return [float((row.get("volume_interval_ml") or row["volume_range_ml"])[1]) for row in regions]


def _to_sentence(text: str) -> str:
    """Return a clause as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def _list_regions_to_review(source: ReportSource, drawing: Drawing) -> list[ReviewRegion]:
    reviewed = []
    for area in source.report["uncertain_regions"]:
        i, j, k = area["voxel"]
        close_looks = drawing.render_close_up((i, j, k)) if area["rank"] <= MAX_CLOSE_UPS else ()
        also = tuple(Region(value) for value in area["also_uncertain"])
        reviewed.append(
            ReviewRegion(area, Region(area["region"]), also, _build_heading(source, drawing, area), close_looks)
        )
    return reviewed


def _build_heading(source: ReportSource, drawing: Drawing, area: Mapping[str, Any]) -> Heading:
    axes = {cut.plane.value: cut.input_axis for cut in drawing.slices}
    slices = tuple(_format_column(source, plane, axis, area["voxel"][axis]) for plane, axis in axes.items())
    return Heading(format_position(area["position_mm_ras"]), slices)


def format_position(position_mm_ras: Sequence[float]) -> str:
    """Format a position like 3D Slicer: `R 12.0, P 3.5, S 40.2 mm`."""
    letters = zip("RAS", "LPI", position_mm_ras, strict=True)
    return ", ".join(f"{above if mm >= 0 else below} {abs(mm):.1f}" for above, below, mm in letters) + " mm"


def _format_column(source: ReportSource, plane: str, axis: int, index: int) -> str:
    return f"{plane} {index + 1} of {source.grid.shape[axis]}"


def render_prediction_page(prediction: Prediction, report: Mapping[str, Any], importance: Mapping[str, Any]) -> str:
    """Render the page of a prediction from the contents of `report.json` and `importance.json`, without a case name."""
    return render_page(build_source(prediction, report, importance), made_on=date.today())
