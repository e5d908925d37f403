"""One picture of a prediction: the tumour in three planes, where the model is unsure, and what it looked at.

The picture holds no case name, date or file name, so that it can be shown without telling whose head it is.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from brats_mm.domain.availability import describe
from brats_mm.domain.entropy import MAX_COMPARTMENT_NATS
from brats_mm.domain.modality import MODALITIES, Modality
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, SEGMENT_STYLES, Compartment, LabelConvention, Region
from brats_mm.domain.statement import NOT_FOR_DIAGNOSIS
from brats_mm.io.output_folder import output_errors
from brats_mm.io.preview_planes import Slice, choose_slices, to_ras

WIDTH_PX, HEIGHT_PX = 1600, 1000

_DPI = 100
_PAPER, _INK, _FAINT, _ALERT = "#101418", "#e8ecef", "#8b96a0", "#ffb347"
_REGION_TINTS = {Region.WT: "#b5d3ee", Region.TC: "#6aa5d8", Region.ET: "#2f6fae"}
_BACKGROUNDS = (Modality.FLAIR, Modality.T1CE, Modality.T2, Modality.T1)
"""Which sequence to draw on, the most telling first."""

_SURE_NATS = 0.05
"""Below this entropy the overlay is invisible."""

_Picture = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class _Pictures:
    """What the image panels show, all as right-anterior-superior arrays."""

    background: _Picture
    background_name: str
    window: tuple[float, float]
    labels: _Picture
    entropy: _Picture
    slices: tuple[Slice, Slice, Slice]


def write_preview(path: Path, prediction: Prediction) -> None:
    """Write a PNG of 1600 x 1000 pixels, replacing the file if there is one.

    Top row: the labels over the best sequence at hand; bottom row: combined entropy in nats over the same slices;
    right: importance of the sequences, volumes, legend, model.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = Figure(figsize=(WIDTH_PX / _DPI, HEIGHT_PX / _DPI), dpi=_DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    _draw_images(figure, _pictures(prediction))
    _draw_importance(figure.add_axes((0.79, 0.655, 0.19, 0.265)), prediction)
    _draw_facts(figure.add_axes((0.745, 0.06, 0.24, 0.52)), prediction)
    figure.text(0.5, 0.014, NOT_FOR_DIAGNOSIS, color=_ALERT, fontsize=12, ha="center", va="bottom")
    with output_errors(path):
        figure.savefig(path, format="png")


def _pictures(prediction: Prediction) -> _Pictures:
    case = prediction.case
    modality = next(modality for modality in _BACKGROUNDS if modality in case.volumes)
    data = case.volumes[modality].data
    brain = data != 0
    shown = data[brain] if brain.any() else data
    low, high = np.percentile(shown, (0.5, 99.7))
    affine = case.grid.affine
    return _Pictures(
        background=to_ras(data, affine),
        background_name=modality.label,
        window=(float(low), float(max(high, low + 1e-6))),
        labels=to_ras(prediction.labels(), affine),
        entropy=to_ras(prediction.combined_entropy(), affine),
        slices=choose_slices(case.grid, prediction.mask(Region.WT), brain),
    )


def _draw_images(figure: Figure, pictures: _Pictures) -> None:
    grid = figure.add_gridspec(2, 3, left=0.012, right=0.715, top=0.925, bottom=0.125, wspace=0.03, hspace=0.12)
    for column, cut in enumerate(pictures.slices):
        title = f"{cut.plane.value.capitalize()}, slice {cut.input_index} of input axis {cut.input_axis + 1}"
        for row, overlay in enumerate((_draw_labels, _draw_entropy)):
            axes = figure.add_subplot(grid[row, column])
            _draw_background(axes, pictures, cut, brightness=(1.0, 0.65)[row])
            overlay(axes, pictures, cut)
            if row == 0:
                axes.set_title(title, color=_FAINT, fontsize=10, pad=5)
    name = pictures.background_name
    figure.text(0.012, 0.965, f"Segmentation on {name}", color=_INK, fontsize=14, va="center")
    figure.text(0.012, 0.512, f"Uncertainty on {name}", color=_INK, fontsize=14, va="center")
    scale = ScalarMappable(Normalize(0, MAX_COMPARTMENT_NATS), "inferno")
    ticks = [0, 0.35, float(np.log(2)), 1.04, MAX_COMPARTMENT_NATS]
    bar = figure.colorbar(scale, cax=figure.add_axes((0.16, 0.088, 0.41, 0.014)), orientation="horizontal", ticks=ticks)
    bar.ax.set_xticklabels(["0 (sure)", "0.35", "ln 2 = 0.69", "1.04", "ln 4 = 1.39 (cannot decide)"])
    bar.ax.tick_params(colors=_INK, labelsize=10)
    bar.outline.set_edgecolor(_FAINT)
    figure.text(0.15, 0.095, "Entropy, nats", color=_INK, fontsize=10, ha="right", va="center")


def _draw_background(axes: Axes, pictures: _Pictures, cut: Slice, *, brightness: float) -> None:
    low, full = pictures.window
    high = low + (full - low) / brightness
    axes.imshow(
        cut.of(pictures.background), cmap="gray", vmin=low, vmax=high, aspect=cut.aspect, interpolation="bilinear"
    )
    axes.set_axis_off()
    axes.set_anchor("N")
    letters = cut.letters
    places = (
        (0.015, 0.5, letters.left),
        (0.985, 0.5, letters.right),
        (0.5, 0.965, letters.top),
        (0.5, 0.03, letters.bottom),
    )
    for x, y, letter in places:
        axes.text(
            x, y, letter, transform=axes.transAxes, color=_INK, fontsize=12, weight="bold", ha="center", va="center"
        )


def _draw_labels(axes: Axes, pictures: _Pictures, cut: Slice) -> None:
    labels = cut.of(pictures.labels)
    for compartment, style in SEGMENT_STYLES.items():
        mask = labels == LabelConvention.BRATS2023.value_of(compartment)
        if not mask.any():
            continue
        colour = tuple(part / 255 for part in style.colour)
        fill = np.zeros((*mask.shape, 4))
        fill[mask] = (*colour, 0.38)
        axes.imshow(fill, aspect=cut.aspect, interpolation="nearest")
        if min(mask.shape) > 1 and not mask.all():
            axes.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)


def _draw_entropy(axes: Axes, pictures: _Pictures, cut: Slice) -> None:
    entropy = np.asarray(cut.of(pictures.entropy), np.float64)
    opacity = np.clip((entropy - _SURE_NATS) / 0.3, 0, 0.9)
    axes.imshow(
        entropy,
        cmap="inferno",
        vmin=0,
        vmax=MAX_COMPARTMENT_NATS,
        alpha=opacity,
        aspect=cut.aspect,
        interpolation="nearest",
    )


def _draw_importance(axes: Axes, prediction: Prediction) -> None:
    """Grouped bars: one group a sequence, one bar a region."""
    axes.set_facecolor(_PAPER)
    axes.set_title("Importance of the sequences", color=_INK, fontsize=14, loc="left", pad=30)
    missing = prediction.case.missing
    weights = prediction.importance.weights
    for place, region in enumerate(REGIONS):
        present = [modality for modality in MODALITIES if modality not in missing]
        heights = [weights[modality][region] for modality in present]
        at = [modality.channel + 0.26 * (place - 1) for modality in present]
        bars = axes.barh(at, heights, 0.23, color=_REGION_TINTS[region], label=region.label)
        axes.bar_label(bars, labels=[f"{height:.2f}" for height in heights], color=_INK, fontsize=9, padding=3)
    for modality in missing:
        axes.text(0.01, modality.channel, "missing", color=_ALERT, fontsize=11, va="center", style="italic")
    axes.set_yticks(range(len(MODALITIES)), [modality.label for modality in MODALITIES])
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.5, 1])
    axes.set_ylim(len(MODALITIES) - 0.5, -0.5)
    axes.tick_params(colors=_INK, labelsize=11, length=0)
    axes.spines[:].set_visible(False)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.24, 1.0), ncols=3, fontsize=9, frameon=False, labelcolor=_INK,
        handlelength=0.9, columnspacing=0.9, handletextpad=0.4,
    )  # fmt: skip


def _draw_facts(axes: Axes, prediction: Prediction) -> None:
    """Volumes with uncertainty, legend, sequences, model and warnings, as lines of text."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _write(axes, 0.97, "Volume and mean uncertainty inside", size=14)
    _write(axes, 0.905, "mL", x=0.66, colour=_FAINT, align="right")
    _write(axes, 0.905, "nats, 0 to 0.69", x=1.0, colour=_FAINT, align="right")
    for line, region in enumerate(REGIONS):
        y = 0.85 - 0.055 * line
        entropy = prediction.mean_entropy_inside(region)
        _write(axes, y, region.label.capitalize())
        _write(axes, y, f"{prediction.volume_ml(region):.1f}", x=0.66, align="right")
        _write(axes, y, "none found" if entropy is None else f"{entropy:.3f}", x=1.0, align="right")
    _write(axes, 0.635, "Colours", size=14)
    for line, compartment in enumerate(Compartment):
        style = SEGMENT_STYLES[compartment]
        y = 0.575 - 0.055 * line
        axes.plot([0.02], [y], marker="s", markersize=11, color=[part / 255 for part in style.colour])
        _write(axes, y, style.name, x=0.06)
    _write(axes, 0.36, "Sequences and model", size=14)
    missing = prediction.case.missing
    _write(axes, 0.30, f"Used: {describe(prediction.case.available)}")
    _write(axes, 0.245, f"Missing: {describe(missing)}", colour=_ALERT if missing else _INK)
    model = prediction.model
    _write(axes, 0.19, f"{model.name} {model.version}")
    _write(axes, 0.135, f"weights {model.weights_sha256[:12]}", colour=_FAINT)
    warnings = len(prediction.warnings) + len(prediction.case.warnings)
    if warnings:
        _write(axes, 0.08, f"Warnings: {warnings}; read them in the report.", colour=_ALERT)


def _write(
    axes: Axes, y: float, text: str, *, x: float = 0.0, colour: str = _INK, size: int = 11, align: str = "left"
) -> None:
    axes.text(x, y, text, color=colour, fontsize=size, ha=align, va="center")
