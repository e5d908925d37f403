"""Images and panels of the page, with results at known positions."""

import numpy as np
import pytest

from tests.fakes.viewer_tab import GREEN, RED, YELLOW, changed, count

SIZES = {"laptop": (1366, 768), "tablet": (1024, 768), "upright tablet": (768, 1024)}


def test_overlays_match_volumes(result):
    tab = result
    tab.view("Axial")
    tab.outline(on=False)
    tab.slide("segmentation-opacity", 1)
    tab.slide("entropy-opacity", 0)
    filled = tab.picture()
    assert count(filled, GREEN) > count(filled, YELLOW) > count(filled, RED) > 100
    assert np.argwhere(np.abs(filled - RED).max(axis=-1) < 40).mean(axis=0) == pytest.approx(
        np.argwhere(np.abs(filled - GREEN).max(axis=-1) < 40).mean(axis=0), abs=25
    )
    tab.outline(on=True)
    outlined = tab.picture()
    assert 0 < count(outlined, GREEN) < count(filled, GREEN) / 2
    tab.slide("segmentation-opacity", 0)
    bare = tab.picture()
    assert bare.max() > 100, "the background image is there"
    assert count(bare, GREEN) < count(outlined, GREEN) / 10
    tab.slide("entropy-opacity", 1)
    tab.slide("threshold", 0.3)
    some = changed(bare, tab.picture())
    tab.slide("threshold", 1.1)
    few = changed(bare, tab.picture())
    assert some > few > 0, "a higher threshold hides more"
    tab.slide("threshold", 1.38)
    assert changed(bare, tab.picture()) == 0
    tab.background("flair")
    assert changed(bare, tab.picture()) > 1000


def test_readout_shows_position_and_uncertain_regions_move_crosshair(result):
    tab = result
    page = tab.page
    tab.until(lambda: "Whole tumour" in tab.readout())
    reported = tab.readout()
    assert reported["Label"] == "Necrotic and non-enhancing core"
    assert reported["Whole tumour"] == "100 %"
    page.click(".area >> nth=0")
    assert tab.readout()["Label"] == "Peritumoural oedema"
    assert tab.readout()["Entropy"] == "1.20 nats"
    page.click(".area >> nth=1")
    assert tab.readout()["Label"] == "Necrotic and non-enhancing core"
    tab.view("Axial")
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.62, box["y"] + box["height"] / 2)
    tab.until(lambda: "Pointer" in tab.readout())
    page.mouse.move(5, 5)
    tab.until(lambda: "Crosshair" in tab.readout())


def test_every_plane_and_the_render_are_drawn(result):
    tab = result
    for view in ("Axial", "Coronal", "Sagittal", "3D", "All"):
        tab.view(view)
        picture = tab.picture()
        assert (picture.max(axis=-1) > 60).mean() > 0.05, view
    parts = np.array_split(picture[:, int(picture.shape[1] * 0.64) :], 3)
    assert all((part.max(axis=-1) > 60).mean() > 0.02 for part in parts), "three planes beside the large one"


def test_uncertainty_leaves_certain_voxels_unchanged(result):
    """Outside the head, the picture is equally black with and without uncertainty, in the planes and in the render."""
    tab = result
    tab.slide("entropy-opacity", 1)
    for view in ("Axial", "3D"):
        tab.view(view)
        corners = tab.picture()[[60, 60, -60, -60], [60, -60, 60, -60]]
        assert corners.max() <= 2, view


def test_render_shows_labels_not_uncertainty(result):
    """The uncertainty of all voxels covers the tumour. It is blue, and the oedema outside the tumour is green."""
    tab = result
    tab.slide("entropy-opacity", 1)
    tab.slide("threshold", 0)
    for view in ("3D", "All"):
        tab.view(view)
        picture = tab.picture()
        if view == "All":  # the render is at the bottom right
            picture = np.array_split(picture[:, int(picture.shape[1] * 0.64) :], 3)[2]
        red, green, blue = np.moveaxis(picture, -1, 0)
        assert ((green > blue + 30) & (green > red + 15)).sum() > 100, view
        assert ((blue > green + 40) & (blue > red + 40)).sum() < 20, view


def test_each_file_and_zip_can_be_downloaded(result):
    tab = result
    job = tab.client.get("/v1/jobs").json()["jobs"][0]
    tab.page.evaluate("document.querySelector('details').open = true")
    assert tab.page.locator(".results a").count() == len(job["results"])
    with tab.page.expect_download() as one:
        tab.page.click(".results a:has-text('report.json')")
    assert one.value.suggested_filename == "report.json"
    with tab.page.expect_download() as everything:
        tab.page.click("text=Download everything")
    assert everything.value.path().read_bytes()[:2] == b"PK"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_nothing_is_cut_off_at_common_window_sizes(result, size):
    page = result.page
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    canvas = page.locator("canvas").bounding_box()
    assert canvas["width"] > 600
    assert canvas["height"] > 400
    footer = page.locator("footer").bounding_box()
    assert footer["y"] + footer["height"] <= size[1]
    assert page.locator(".readout").is_visible()
