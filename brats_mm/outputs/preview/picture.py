"""Preview of a prediction: tumour and uncertainty in three planes, importance, volumes and model.

The preview contains no case name, date or file name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from brats_mm.domain.availability import describe
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.display import format_ml, make_entropy_colours
from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS, compartment_entropy
from brats_mm.domain.grey_window import choose_grey_window
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.prediction import Prediction, nest_probabilities
from brats_mm.domain.regions import REGIONS, SEGMENT_STYLES, Compartment, LabelConvention, Region
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.outputs.preview.canvas import ALERT, FAINT, INK, Canvas, Colour, Picture, Pixels, draw_region
from brats_mm.outputs.preview.planes import Slice, choose_slices
from brats_mm.outputs.preview.slices import draw_entropy, grey_to_rgb, render_grey
from brats_mm.trust.assess import assess

WIDTH_PX, HEIGHT_PX = 1600, 1000

_REGION_TINTS: dict[Region, Colour] = {
    Region.WT: (181, 211, 238),
    Region.TC: (106, 165, 216),
    Region.ET: (47, 111, 174),
}
_BACKGROUNDS = (Modality.FLAIR, Modality.T1CE, Modality.T2, Modality.T1)
"""Background sequences in order of preference."""

_PANEL_PX = (368, 377)
"""Width and height of a panel in pixels."""
_COLUMNS_PX, _ROWS_PX = (19, 398, 777), (75, 497)

_Voxels = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Content of the image panels, as right-anterior-superior arrays."""

    background: _Voxels
    background_name: str
    window: tuple[float, float]
    labels: _Voxels
    probabilities: tuple[_Voxels, _Voxels, _Voxels]
    slices: tuple[Slice, Slice, Slice]
    sides: tuple[int, int, int]


def write_preview(path: Path, prediction: Prediction, warnings: Sequence[str] | None = None) -> None:
    """Write a PNG of 1600 x 1000 pixels, replacing an existing file.

    The top row shows labels over the preferred sequence, the bottom row the combined entropy in nats on the same
    slices. The right column shows importance, volumes, legend and model.

    Args:
        path: PNG file to write.
        prediction: prediction to draw.
        warnings: warnings of the report, whose number is shown.

    Raises:
        OutputError: the file cannot be written.
    """
    picture = render_preview_png(prediction, warnings)
    with convert_output_errors(path):
        path.write_bytes(picture)


def render_preview_png(prediction: Prediction, warnings: Sequence[str] | None = None) -> bytes:
    """Return the preview as PNG. See `write_preview`."""
    canvas = Canvas(WIDTH_PX, HEIGHT_PX)
    _draw_images(canvas, _prepare_pictures(prediction))
    _draw_importance(canvas, prediction)
    _draw_volumes(canvas, prediction)
    _draw_facts(canvas, prediction, assess(prediction).warnings if warnings is None else warnings)
    canvas.text(WIDTH_PX / 2, 977, NOT_FOR_DIAGNOSIS, colour=ALERT, size=12, align="m")
    return canvas.png()


def _prepare_pictures(prediction: Prediction) -> _Pictures:
    case = prediction.case
    modality = next(modality for modality in _BACKGROUNDS if modality in case.volumes)
    image = case.volumes[modality]
    grid = case.grid
    wt, tc, et = (grid.to_ras(prediction.probabilities[region]) for region in REGIONS)
    return _Pictures(
        background=grid.to_ras(image.data),
        background_name=modality.label,
        window=choose_grey_window(image, modality),
        labels=grid.to_ras(prediction.labels()),
        probabilities=(wt, tc, et),
        slices=choose_slices(grid, prediction.mask(Region.WT), image.foreground),
        sides=grid.shape,
    )


def _draw_images(canvas: Canvas, pictures: _Pictures) -> None:
    for column, cut in zip(_COLUMNS_PX, pictures.slices, strict=True):
        title = f"{cut.plane.value.capitalize()} {cut.input_index + 1} of {pictures.sides[cut.input_axis]}"
        canvas.text(column + _PANEL_PX[0] / 2, 62, title, colour=FAINT, size=10, align="m")
        grey = _render_grey(pictures, cut)
        for top, picture in zip(
            _ROWS_PX, (_draw_labels(grey, pictures, cut), _draw_uncertainty(grey, pictures, cut)), strict=True
        ):
            left = column + (_PANEL_PX[0] - grey.shape[1]) / 2
            canvas.picture(left, top, picture)
            _draw_letters(canvas, cut, left, top, grey.shape)
    canvas.text(19, 32, f"Segmentation on {pictures.background_name}", size=14)
    canvas.text(19, 478, f"Uncertainty on {pictures.background_name}", size=14)
    _draw_scale(canvas)


def _render_grey(pictures: _Pictures, cut: Slice) -> Picture:
    """Render the slice in grey, fitted into a panel."""
    return render_grey(cut.extract(pictures.background), pictures.window, aspect=cut.aspect, fit=_PANEL_PX)


def _draw_labels(grey: Picture, pictures: _Pictures, cut: Slice) -> Picture:
    picture = grey_to_rgb(np.clip(grey, 0, 255))
    labels = cut.extract(pictures.labels)
    for compartment, style in SEGMENT_STYLES.items():
        mask = np.asarray(labels == LabelConvention.BRATS2023.value_of(compartment))
        if mask.any():
            picture = draw_region(picture, mask, style.colour, opacity=0.38)
    return picture


def _draw_uncertainty(grey: Picture, pictures: _Pictures, cut: Slice) -> Picture:
    wt, tc, et = (np.asarray(cut.extract(probability), np.float32) for probability in pictures.probabilities)
    return draw_entropy(grey, compartment_entropy(*nest_probabilities(wt, tc, et)))


def _draw_letters(canvas: Canvas, cut: Slice, left: Pixels, top: Pixels, shape: tuple[int, ...]) -> None:
    letters, (height, width) = cut.letters, shape
    labels = (
        (0.015, 0.5, letters.left),
        (0.985, 0.5, letters.right),
        (0.5, 0.035, letters.top),
        (0.5, 0.97, letters.bottom),
    )
    for x, y, letter in labels:
        canvas.text(left + x * width, top + y * height, letter, size=12, align="m", style="-Bold")


def _draw_scale(canvas: Canvas) -> None:
    """Draw the colour bar of entropy."""
    left, top, width, height = 256, 897, 656, 14
    colours = make_entropy_colours().astype(np.float32)[np.linspace(0, 255, width).astype(np.intp)]
    canvas.picture(left, top, np.repeat(colours[None], height, axis=0))
    canvas.outline(left, top, width, height, FAINT)
    ticks = {0.0: "0 (certain)", 0.35: "0.35", 0.693: "ln 2 = 0.69", 1.04: "1.04", 1.386: "ln 4 = 1.39 (undecided)"}
    for nats, label in ticks.items():
        x = left + width * nats / MAX_COMPARTMENT_NATS
        canvas.block(x - 0.5, top + height, 1, 5, FAINT)
        canvas.text(x, top + height + 15, label, size=10, align="m")
    canvas.text(left - 16, top + height / 2, "Entropy, nats", size=10, align="r")


def _draw_importance(canvas: Canvas, prediction: Prediction) -> None:
    """Draw grouped bars: one group per sequence, one bar per region."""
    left, top, group, row_height = 1264, 80, 66.25, 271
    canvas.text(left, 32, "Gate weights of the sequences", size=14)
    if not prediction.importance.known:
        canvas.text(left, 61, "not available: this model has no gate weights", size=9)
        return
    for index, region in enumerate(REGIONS):
        x = 1202 + (0, 119, 226)[index]
        canvas.block(x, 57, 12, 9, _REGION_TINTS[region])
        canvas.text(x + 17, 61, region.label, size=9)
    for modality in MODALITIES:
        middle = top + group * (modality.channel + 0.5)
        canvas.text(left - 6, middle, modality.label, align="r")
        if modality in prediction.case.missing:
            canvas.text(left + 3, middle, "missing", colour=ALERT, style="-Oblique")
            continue
        for region in REGIONS:
            share = prediction.importance.weights[modality][region]
            y = middle + group * 0.26 * (region.channel - 1)
            canvas.block(left, y - 7.5, share * row_height, 15, _REGION_TINTS[region])
            canvas.text(left + share * row_height + 5, y, f"{share:.2f}", size=9)
    for share, label in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        canvas.text(left + share * row_height, 357, label, align="m")


def _draw_volumes(canvas: Canvas, prediction: Prediction) -> None:
    """Draw each region's volume and mean entropy."""
    canvas.text(1192, 436, "Volume and mean uncertainty inside", size=14)
    canvas.text(1445, 469, "mL", colour=FAINT, align="r")
    canvas.text(1576, 469, "nats, 0 to 0.69", colour=FAINT, align="r")
    for line, region in enumerate(REGIONS):
        y = 498 + 28.6 * line
        entropy = prediction.mean_entropy_inside(region)
        canvas.text(1192, y, region.label.capitalize())
        canvas.text(1445, y, format_ml(prediction.volume_ml(region)), align="r")
        canvas.text(1576, y, "none" if entropy is None else f"{entropy:.3f}", align="r")


def _draw_facts(canvas: Canvas, prediction: Prediction, warnings: Sequence[str]) -> None:
    """Draw legend, sequences, model and warnings."""
    canvas.text(1192, 610, "Colours", size=14)
    for line, compartment in enumerate(Compartment):
        style, y = SEGMENT_STYLES[compartment], 641 + 28.6 * line
        canvas.block(1192, y - 8, 16, 16, style.colour)
        canvas.text(1215, y, style.name)
    canvas.text(1192, 753, "Sequences and model", size=14)
    missing, model = prediction.case.missing, prediction.model
    lines: list[tuple[str, Colour]] = [
        (f"Used: {describe(prediction.case.available)}", INK),
        (f"Missing: {describe(missing)}", ALERT if missing else INK),
        (f"{model.name} {model.version}", INK),
        (f"weights {model.weights_sha256[:12]}", FAINT),
    ]
    if warnings:
        lines.append((f"Warnings: {len(warnings)}, see the report.", ALERT))
    for line, (text, colour) in enumerate(lines):
        canvas.text(1192, 784 + 28.6 * line, text, colour=colour)
