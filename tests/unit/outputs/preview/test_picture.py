"""Preview pictures: slices, orientation, and a valid PNG."""

import itertools
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from brats_mm.data.phantom.head import Phantom, make_phantom
from brats_mm.domain.availability import ALL_AVAILABLE, Availability
from brats_mm.domain.case import Case
from brats_mm.domain.label_map import extract_regions
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Importance, ModelIdentity, Prediction, Run
from brats_mm.domain.regions import REGIONS, LabelConvention, Region
from brats_mm.domain.volume import Grid, Volume
from brats_mm.errors import OutputError
from brats_mm.outputs.preview.picture import HEIGHT_PX, WIDTH_PX, write_preview
from brats_mm.outputs.preview.planes import Letters, Plane, choose_slices

AXIS_CODES = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]


def affine_of(codes: str, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Return the affine of a grid whose axes point towards the given letters.

    The spacing is in right, anterior, superior order.
    """
    ornt = nib.orientations.axcodes2ornt(tuple(codes))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * spacing_mm[int(world)]
    return affine


def from_ras(data: np.ndarray, codes: str) -> np.ndarray:
    """Reorder a right-anterior-superior array to another storage orientation."""
    ras = nib.orientations.axcodes2ornt(("R", "A", "S"))
    turn = nib.orientations.ornt_transform(ras, nib.orientations.axcodes2ornt(tuple(codes)))
    return np.ascontiguousarray(nib.orientations.apply_orientation(data, turn))


def fake_prediction(phantom: Phantom, *, available: Availability = ALL_AVAILABLE, codes: str = "LPS") -> Prediction:
    """Return a prediction from the phantom's own labels, blurred into probabilities and stored in an orientation."""
    spacing = phantom.grid.spacing_mm
    grid_of = phantom.grid.to_ras(phantom.labels)
    stored = from_ras(grid_of, codes)
    grid = Grid(stored.shape, affine_of(codes, spacing))

    def turned(data: np.ndarray) -> np.ndarray:
        return from_ras(phantom.grid.to_ras(data), codes)

    regions = extract_regions(stored, LabelConvention.BRATS2023)
    probabilities = {r: ndimage.gaussian_filter(mask.astype(np.float32), 1.0) for r, mask in regions.items()}
    volumes = {m: Volume(turned(v.data), grid) for m, v in phantom.images.items() if m in available}
    share = {m: (0.1 + m.channel) for m in available}
    weights = {m: {r: share.get(m, 0.0) ** (1 + 0.3 * r.channel) for r in REGIONS} for m in Modality}
    total = {r: sum(weights[m][r] for m in Modality) for r in REGIONS}
    importance = Importance({m: {r: weights[m][r] / total[r] for r in REGIONS} for m in Modality})
    return Prediction(
        case=Case("a name to keep out", volumes, grid),
        probabilities=probabilities,
        importance=importance,
        model=ModelIdentity("brats_mm_segmentation", "0.1.0", "0123456789abcdef" * 4, 1000),
        run=Run("cpu", "torch", (64, 64, 64), 8, {"total": 1.0}),
    )


def png_size(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    return struct.unpack(">II", header[16:24])


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(5, (48, 56, 52))


@given(st.sampled_from(AXIS_CODES))
def test_every_orientation_is_reordered_to_ras(codes: str) -> None:
    ras = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    stored = from_ras(ras, codes)
    grid = Grid(stored.shape, affine_of(codes))
    assert np.array_equal(grid.to_ras(stored), ras)
    assert np.array_equal(grid.from_ras(ras), stored)


@given(st.sampled_from(AXIS_CODES))
def test_mark_at_right_front_top_is_drawn_at_edges_with_those_letters(codes: str) -> None:
    ras = np.zeros((9, 11, 13), bool)
    ras[7, 9, 11] = True  # far right, far front, far up
    stored = from_ras(ras, codes)
    grid = Grid(stored.shape, affine_of(codes))
    for cut in choose_slices(grid, stored, np.ones_like(stored)):
        picture = cut.extract(grid.to_ras(stored))
        row, column = np.argwhere(picture)[0]
        assert (row < picture.shape[0] / 2) == (cut.letters.top in "RAS")
        assert (column < picture.shape[1] / 2) == (cut.letters.left in "RAS")


def test_pictures_follow_the_radiological_convention() -> None:
    grid = Grid((8, 8, 8), affine_of("LPS"))
    empty = np.zeros(grid.shape, bool)
    axial, coronal, sagittal = choose_slices(grid, empty, ~empty)
    assert axial.letters == Letters(left="R", right="L", top="A", bottom="P")
    assert coronal.letters == Letters(left="R", right="L", top="S", bottom="I")
    assert sagittal.letters == Letters(left="A", right="P", top="S", bottom="I")
    assert [cut.plane for cut in (axial, coronal, sagittal)] == list(Plane)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PSR", "IAL"])
def test_slices_show_largest_tumour_area(codes: str) -> None:
    ras = np.zeros((12, 12, 12), bool)
    ras[3, 2:9, 4:8] = True
    ras[5, 4, 6] = True
    stored = from_ras(ras, codes)
    grid = Grid(stored.shape, affine_of(codes))
    axial, coronal, sagittal = choose_slices(grid, stored, np.ones_like(stored))
    assert sagittal.index == 3
    assert coronal.index == 4
    assert axial.index == 6
    assert np.take(stored, sagittal.input_index, axis=sagittal.input_axis).sum() == 28


def test_slices_without_tumour_show_middle_of_brain() -> None:
    brain = np.zeros((20, 20, 20), bool)
    brain[4:9, 6:13, 10:19] = True
    cuts = choose_slices(Grid(brain.shape, np.eye(4)), np.zeros_like(brain), brain)
    # A margin of 6 voxels, cut off at the edges: 0-14, 0-18, 4-19.
    assert [cut.index for cut in cuts] == [11, 9, 7]


def test_pictures_are_cropped_to_brain() -> None:
    brain = np.zeros((60, 60, 60), bool)
    brain[20:40, 25:45, 10:30] = True
    axial, _, _ = choose_slices(Grid(brain.shape, np.eye(4)), brain, brain)
    assert axial.extract(brain).shape == (32, 32)


def test_pixel_aspect_follows_voxel_spacing() -> None:
    grid = Grid((10, 10, 10), affine_of("SRA", (1.0, 2.0, 5.0)))
    tumour = np.ones(grid.shape, bool)
    axial, coronal, sagittal = choose_slices(grid, tumour, tumour)
    assert (axial.aspect, coronal.aspect, sagittal.aspect) == (2.0, 5.0, 2.5)


@pytest.mark.parametrize("codes", ["LPS", "SAR"])
def test_preview_is_png_of_documented_size(tmp_path: Path, phantom: Phantom, codes: str) -> None:
    path = tmp_path / "preview.png"
    write_preview(path, fake_prediction(phantom, codes=codes))
    assert png_size(path) == (WIDTH_PX, HEIGHT_PX)


def test_preview_works_for_one_sequence_no_tumour_and_thick_slices(tmp_path: Path) -> None:
    phantom = make_phantom(1, (64, 64, 48), spacing_mm=(1.0, 1.0, 3.0))
    prediction = fake_prediction(phantom, available=frozenset({Modality.T2}))
    for region in Region:
        prediction.probabilities[region][:] = 0
    path = tmp_path / "preview.png"
    write_preview(path, prediction)
    assert png_size(path) == (WIDTH_PX, HEIGHT_PX)


def test_file_does_not_hold_case_name(tmp_path: Path, phantom: Phantom) -> None:
    path = tmp_path / "preview.png"
    write_preview(path, fake_prediction(phantom))
    assert b"name to keep out" not in path.read_bytes()


def test_error_names_file_that_cannot_be_written(tmp_path: Path, phantom: Phantom) -> None:
    with pytest.raises(OutputError, match=r"Cannot write to .*preview\.png"):
        write_preview(tmp_path / "absent" / "preview.png", fake_prediction(phantom))
