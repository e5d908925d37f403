"""A raw scan in the page: oblique, with thick slices, registered sequences, and several kinds of background."""

import json
import re
from contextlib import closing

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from brats_mm.domain.grey_window import choose_grey_window
from brats_mm.domain.modality import Modality
from brats_mm.domain.volume import Grid, Volume
from tests.fakes.serving import serving, small_settings
from tests.fakes.viewer_results import CENTRE, UNCERTAIN_VOXEL, make_results, place_of
from tests.fakes.viewer_tab import GREEN, Tab, changed

SHAPE = (64, 72, 56)
# Voxels of 1 x 1 x 4 mm, turned by 10 degrees about one axis and by 8 about another.
TURN = nib.eulerangles.euler2mat(x=np.deg2rad(10), z=np.deg2rad(8))
OBLIQUE = nib.affines.from_matvec(TURN @ np.diag([1.0, 1.0, 4.0]), [-40.0, -20.0, 30.0])
TRUST = {"calibrated": True, "nominal_coverage": 0.9, "statement": "Of 17 cases.", "advice": None}
PREPARATION = {
    "kind": "raw",
    "reference": "t1",
    "steps": [{"name": "register_t2"}, {"name": "register_flair"}, {"name": "resample"}, {"name": "brain"}],
}
SIZES = ((1366, 768), (1024, 768), (390, 844))


def images():
    """Return backgrounds: constant zero, constant non-zero, blurred by a spline, and the air of a scan."""
    rng = np.random.default_rng(0)
    radius = np.sqrt(sum(((axis - middle) / 24) ** 2 for axis, middle in zip(np.indices(SHAPE), CENTRE, strict=True)))
    plain = np.where(radius < 1, 300 + 900 * rng.random(SHAPE), 0)
    made = {
        Modality.T1: plain,
        Modality.T1CE: np.where(plain == 0, -1000, plain - 500),
        Modality.T2: ndimage.shift(plain, (0.4, 0.3, 0.2), order=3),
        Modality.FLAIR: np.where(plain == 0, np.abs(rng.normal(0, 8, SHAPE)), plain),
    }
    return {modality: np.ascontiguousarray(data, np.float32) for modality, data in made.items()}


@pytest.fixture(scope="module")
def raw_tab(built_page, browser, made_head, tmp_path_factory):
    """Page shared by all tests, because opening it is slow without a graphics card."""
    folder = tmp_path_factory.mktemp("raw")
    results = make_results(folder / "results", OBLIQUE)
    for modality, data in images().items():
        nib.Nifti1Image(data, OBLIQUE).to_filename(results / f"registered_{modality.value}.nii.gz")
    report = json.loads((results / "report.json").read_text())
    for region, grade in zip(report["regions"].values(), ("reliable", "review", "unreliable"), strict=True):
        region |= {"expected_dice": 0.69, "expected_dice_interval": [0.36, 1.0], "reliability": grade}
        region["reliability_advice"] = f"{grade}: check it"
    report |= {"trust": TRUST, "preparation": PREPARATION, "warnings": ["T1ce looks like T2."]}
    (results / "report.json").write_text(json.dumps(report))
    with serving(small_settings(folder / "data"), behaviour={"results": str(results), "pause_s": 0.05}) as client:
        tab = Tab(browser.new_context(viewport={"width": 1366, "height": 768}), client)
        with closing(tab):
            tab.go("/")
            tab.run(made_head)
            yield tab


@pytest.fixture
def raw(raw_tab):
    """The page with the crosshair in the tumour, the axial plane, outlines and no uncertainty."""
    page = raw_tab.page
    page.set_viewport_size({"width": 1366, "height": 768})
    page.keyboard.press("c")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.click(".area >> nth=1")
    raw_tab.view("Axial")
    raw_tab.outline(on=True)
    raw_tab.slide("entropy-opacity", 0)
    return raw_tab


def near(picture, colour=GREEN):
    """Return the rows and columns of the pixels of a colour."""
    return np.argwhere(np.abs(picture - np.array(colour)).max(axis=-1) < 40)


def check_outlines_run_around_filled_labels(tab, within):
    outlined = near(tab.picture())
    tab.outline(on=False)
    filled = near(tab.picture())
    tab.outline(on=True)
    assert len(outlined) > 200
    assert outlined.min(axis=0) == pytest.approx(filled.min(axis=0), abs=within)
    assert outlined.max(axis=0) == pytest.approx(filled.max(axis=0), abs=within)


def test_jumps_reach_voxel(raw):
    page = raw.page
    for button, voxel in ((0, UNCERTAIN_VOXEL), (1, CENTRE)):
        page.click(f".area >> nth={button}")
        raw.until(lambda: "Crosshair" in raw.readout())
        sides = re.findall(r"[A-Z] (\d+)", raw.readout()["Crosshair"])
        assert [int(side) for side in sides] == pytest.approx(np.abs(place_of(voxel, OBLIQUE)), abs=0.6)
        assert raw.marks("slice") == [f"Axial {voxel[2] + 1} / {SHAPE[2]}"]


@pytest.mark.parametrize("view", ["Axial", "Coronal", "Sagittal"])
def test_outlines_surround_filled_labels(raw, view):
    raw.view(view)
    check_outlines_run_around_filled_labels(raw, within=6)


def test_outlines_stay_in_place_when_zoomed(raw):
    page = raw.page
    page.keyboard.press("p")
    box = page.locator(".picture").bounding_box()
    before = raw.picture()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(4):
        page.mouse.wheel(0, -200)
    raw.until(lambda: changed(before, raw.picture()) > 2000)
    check_outlines_run_around_filled_labels(raw, within=10)


def test_ruler_and_distances_are_in_millimetres(raw):
    """Voxels are 1 mm in the axial plane, and the outline of the tumour has a diameter of 32 mm."""
    page = raw.page
    (length,) = raw.marks("ruler-text")
    bar = page.locator(".marks .ruler").evaluate("bar => bar.getBBox().width")
    page.keyboard.press("m")
    shown = raw.measure((0.4, 0.5), (bar, 0))
    assert shown == pytest.approx(float(length.removesuffix(" mm")), rel=0.03)
    across = np.ptp(near(raw.picture())[:, 1]) * shown / bar
    assert across == pytest.approx(32, abs=3)


def test_all_backgrounds_give_grey_window_of_library(raw):
    for modality, data in reversed(images().items()):
        raw.background(modality.value)
        low, high = choose_grey_window(Volume(data, Grid(SHAPE, OBLIQUE)), modality)
        words = raw.page.inner_text("#window-values").split()
        assert float(words[1]) == pytest.approx(high - low, abs=1), modality
        assert float(words[3]) == pytest.approx((high + low) / 2, abs=1), modality


def test_reliability_fits_into_panel_below_warnings(raw):
    page = raw.page
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        panel = page.locator("[aria-labelledby=trust]").bounding_box()
        table = page.locator("[aria-labelledby=trust] table").bounding_box()
        assert table["x"] + table["width"] <= panel["x"] + panel["width"] - 10
    rows = page.locator("[aria-labelledby=trust] tbody tr").all_inner_texts()
    assert rows[4].split() == ["Enhancing", "tumour", "unreliable", "69", "%", "36", "to", "100", "%"]
    assert rows[5] == "Unreliable: check it."
    warnings = page.locator("[aria-labelledby=warnings]")
    assert "T1ce looks like T2." in warnings.inner_text()
    assert warnings.bounding_box()["y"] < page.locator("[aria-labelledby=trust]").bounding_box()["y"]


def test_page_describes_preprocessing_of_scans(raw):
    remarks = raw.page.inner_text("[aria-labelledby=remarks]")
    assert "T2 and FLAIR were registered to T1, and the results are on its grid" in remarks
    assert raw.marks("title")[0].endswith(", registered")


def test_change_redraws_only_affected_overlays(raw):
    """In the view of all planes, slices and render have separate overlays. The render has no uncertainty."""
    page = raw.page
    raw.view("All")

    def refreshed():
        # A change is applied in the next frame, before what is asked of the same frame later.
        page.evaluate("new Promise(done => requestAnimationFrame(() => done(true)))")
        return int(page.get_attribute("canvas", "data-refreshed"))

    def refreshes(action):
        before = refreshed()
        with raw.redrawn():
            action()
        return refreshed() - before

    assert refreshes(lambda: page.fill("#entropy-opacity", "0.4")) == 1
    assert refreshes(lambda: page.fill("#threshold", "0.5")) == 1
    assert refreshes(lambda: page.uncheck("#label-2")) == 1, "outlines are drawn over the slices"
    assert refreshes(lambda: page.check("#label-2")) == 1
    raw.outline(on=False)
    assert refreshes(lambda: page.fill("#segmentation-opacity", "0.7")) == 2
    assert refreshes(lambda: page.fill("#segmentation-opacity", "1")) == 2
    assert refreshes(lambda: page.click(".switch >> text=Axial")) == 0
    assert refreshes(lambda: page.click(".switch >> text=All")) == 0


def test_key_list_starts_at_top(raw):
    page = raw.page
    page.keyboard.press("?")
    help_box, first = page.locator("#help").bounding_box(), page.locator("#help tr >> nth=0").bounding_box()
    page.click("#help >> text=Close")
    assert first["y"] >= help_box["y"]
