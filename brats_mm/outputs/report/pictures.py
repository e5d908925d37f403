"""Images of a report: slices through the tumour and close-ups of uncertain regions."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from brats_mm.domain.display import make_entropy_colours
from brats_mm.domain.grey_window import Window, choose_grey_window
from brats_mm.domain.regions import REGION_COLOURS, REGIONS, Region
from brats_mm.domain.volume import Voxel
from brats_mm.outputs.preview.canvas import Picture, draw_region
from brats_mm.outputs.preview.planes import (
    Cuts,
    Letters,
    Plane,
    Slice,
    choose_slices,
    locate_on_slice,
    slice_through,
)
from brats_mm.outputs.preview.slices import draw_entropy, grey_to_rgb, render_grey
from brats_mm.outputs.report.source import ReportSource

_PANEL_PX = (460, 460)
_CLOSE_PX = (300, 300)
_CLOSE_MM = 70.0
"""Side of a close-up."""
_QUALITY = 88
_GROUND_NATS = 1e-4
"""Without images, shade the voxels with an entropy above this value, which are the brain. Outside the brain it is 0."""


@dataclass(frozen=True)
class Drawn:
    """An image on the page.

    Attributes:
        uri: the image as a data URI.
        width_px, height_px: its size.
        letters: patient directions at its edges.
        alt_text: alternative text.
        caption: plane and slice, counted from 1 along the file's axis.
    """

    uri: str
    width_px: int
    height_px: int
    letters: Letters
    alt_text: str
    caption: str


@dataclass(frozen=True)
class Row:
    """Images of one kind, one per slice."""

    title: str
    pictures: tuple[Drawn, ...]


class Drawing:
    """Renderer of the slices of one case."""

    def __init__(self, source: ReportSource) -> None:
        self._source = source
        grid = source.grid
        self._masks = {region: grid.to_ras(mask) for region, mask in source.masks.items()}
        self._entropy = grid.to_ras(source.entropy)
        self._images = {modality.label: grid.to_ras(image.data) for modality, image in source.images.items()}
        self._windows: Mapping[str, Window] = {
            m.label: choose_grey_window(image, m) for m, image in source.images.items()
        }

    @cached_property
    def slices(self) -> Cuts:
        """The three slices with the largest area of the whole tumour."""
        return self._choose_largest(Region.WT)

    def render_rows(self) -> list[Row]:
        """Render each region on its largest slices, then the uncertainty on the largest slices of the whole tumour.

        A region with the same slices as the previous region shares its row, so no picture appears twice.
        """
        groups: list[tuple[list[Region], Cuts, str]] = []
        for region in (candidate for candidate in REGIONS if candidate is Region.WT or self._masks[candidate].any()):
            cuts, name = self._choose_largest(region), self._names[0 if region is Region.WT else -1]
            if groups and groups[-1][1:] == (cuts, name):
                groups[-1][0].append(region)
            else:
                groups.append(([region], cuts, name))
        rows = [
            Row(_format_title(regions, name), tuple(self._draw_outlined(cut, name) for cut in cuts))
            for regions, cuts, name in groups
        ]
        return [
            *rows,
            Row("Uncertainty, on the slices of the whole tumour", tuple(map(self._draw_uncertainty, self.slices))),
        ]

    def _choose_largest(self, region: Region) -> Cuts:
        source = self._source
        image = next(iter(source.images.values()), None)
        brain = source.entropy > _GROUND_NATS if image is None else image.foreground
        return choose_slices(source.grid, source.masks[region], brain)

    def render_close_up(self, voxel: tuple[int, int, int]) -> tuple[Drawn, ...]:
        """Render outlines and uncertainty centred on a voxel, in the plane of highest resolution."""
        grid = self._source.grid
        plane = self.sharpest_plane
        cut = slice_through(grid, voxel, plane)
        at = locate_on_slice(grid, voxel, plane)
        names = self._names[-1:]  # the contrast image if available
        return (*(self._draw_outlined(cut, name, around=at) for name in names), self._draw_uncertainty(cut, around=at))

    @cached_property
    def sharpest_plane(self) -> Plane:
        """Return the plane of acquisition, or axial for isotropic voxels."""
        grid = self._source.grid
        spacing_mm = to_ras_order(grid.spacing_mm, self.slices)
        return max(Plane, key=lambda plane: (round(spacing_mm[plane.through], 2), plane is Plane.AXIAL))

    @property
    def _names(self) -> Sequence[str]:
        return list(self._images) or [""]

    def _render_grey(self, cut: Slice, name: str, around: tuple[int, int] | None) -> Picture:
        fit = _PANEL_PX if around is None else _CLOSE_PX
        if name:
            return render_grey(
                self._cut(cut, self._images[name], around), self._windows[name], aspect=cut.aspect, fit=fit
            )
        ground = np.asarray(self._cut(cut, self._entropy, around) > _GROUND_NATS, np.float32)
        return render_grey(ground, (0.0, 3.2), aspect=cut.aspect, fit=fit)

    def _draw_outlined(self, cut: Slice, name: str, around: tuple[int, int] | None = None) -> Drawn:
        picture = self._add_outlines(grey_to_rgb(np.clip(self._render_grey(cut, name, around), 0, 255)), cut, around)
        text = f"outlines of the tumour regions on {name}" if name else "outlines of the tumour regions"
        return self._build_drawn(picture, cut, f"slice with {text}")

    def _draw_uncertainty(self, cut: Slice, around: tuple[int, int] | None = None) -> Drawn:
        entropy = np.asarray(self._cut(cut, self._entropy, around), np.float32)
        picture = draw_entropy(self._render_grey(cut, self._names[0], around), entropy)
        return self._build_drawn(
            self._add_outlines(picture, cut, around), cut, "slice with the entropy of the prediction and outlines"
        )

    def _add_outlines(self, picture: Picture, cut: Slice, around: tuple[int, int] | None) -> Picture:
        for region in REGIONS:
            mask = self._cut(cut, self._masks[region], around)
            if mask.any():
                picture = draw_region(picture, mask, REGION_COLOURS[region], opacity=0.0)
        return picture

    def _build_drawn(self, picture: Picture, cut: Slice, alt_text: str) -> Drawn:
        plane = cut.plane.value.capitalize()
        caption = f"{plane} {cut.input_index + 1} of {self._source.grid.shape[cut.input_axis]}"
        return _encode(picture, cut.letters, f"{plane} {alt_text}", caption)

    def _cut(self, cut: Slice, ras: npt.NDArray[Voxel], around: tuple[int, int] | None) -> npt.NDArray[Voxel]:
        picture = cut.extract(ras)
        if around is None:
            return picture
        spacing_mm = to_ras_order(self._source.grid.spacing_mm, self.slices)
        reach = [round(_CLOSE_MM / 2 / spacing_mm[axis]) for axis in (cut.plane.down, cut.plane.across)]
        padded = np.pad(picture, [(size, size) for size in reach])
        return padded[around[0] : around[0] + 2 * reach[0] + 1, around[1] : around[1] + 2 * reach[1] + 1]


def to_ras_order(values: tuple[float, float, float], slices: Sequence[Slice]) -> dict[int, float]:
    """Map values of the input axes to right-anterior-superior axes."""
    return {cut.plane.through: values[cut.input_axis] for cut in slices}


def format_entropy_gradient() -> str:
    """Return the entropy colours as stops of a CSS gradient, from 0 to ln 4."""
    table = make_entropy_colours()[np.linspace(0, 255, 17).astype(np.intp)]
    return ", ".join("#{:02x}{:02x}{:02x}".format(*(round(float(value)) for value in colour)) for colour in table)


def _format_title(regions: Sequence[Region], name: str) -> str:
    largest = " and ".join(region.label for region in regions).capitalize() + " at the largest area"
    return f"{largest}, on {name}" if name else largest


def _encode(picture: Picture, letters: Letters, alt_text: str, caption: str) -> Drawn:
    stored = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    uri = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return Drawn(uri, stored.shape[1], stored.shape[0], letters, alt_text, caption)
