"""Tools for reading a case: slices, letters, ruler, measurement, grey window, labels, keys."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.fakes.viewer_results import CENTRE, ENHANCING_MM, make_results
from tests.fakes.viewer_tab import GREEN, RED, YELLOW, changed, count


def test_slice_sliders_count_from_1(result):
    page = result.page
    page.click(".area >> nth=1")
    numbers = {plane: page.inner_text(f"#slice-{plane} ~ output") for plane in ("sagittal", "coronal", "axial")}
    sizes = (64, 72, 56)
    expected = [f"{voxel + 1} / {size}" for voxel, size in zip(CENTRE, sizes, strict=True)]
    assert list(numbers.values()) == expected
    assert f"Axial {numbers['axial']}" in result.marks("slice")
    before = result.readout()["Crosshair"].split()
    page.fill("#slice-axial", str(CENTRE[2] + 1 + 5))
    after = result.readout()["Crosshair"].split()
    assert f"Axial {CENTRE[2] + 6} / 56" in result.marks("slice")
    assert before[:4] == after[:4], "the place in the plane stays"
    assert before[5] != after[5]
    result.view("Coronal")
    assert page.locator("#slice-coronal").is_visible()
    assert not page.locator("#slice-axial").is_visible()


def test_letters_show_sides_of_patient(result):
    result.view("Axial")
    assert sorted(result.marks("letter")) == ["A", "L", "P", "R"]
    box = {text: result.page.locator(f".marks .letter:text-is('{text}')").bounding_box() for text in "ALPR"}
    assert box["R"]["x"] < box["A"]["x"] < box["L"]["x"], "radiological: the patient's right is on the left"
    assert box["A"]["y"] < box["R"]["y"] < box["P"]["y"]
    result.view("Sagittal")
    assert sorted(result.marks("letter")) == ["A", "I", "P", "S"]


def test_measured_distance_and_ruler_length_are_right(result):
    result.view("Axial")
    (length,) = result.marks("ruler-text")
    bar = result.page.locator(".marks .ruler").evaluate("bar => bar.getBBox().width")  # without its outline
    result.page.click("text=Measure")
    shown = result.measure((0.4, 0.5), (bar, 0))
    assert shown == pytest.approx(float(length.removesuffix(" mm")), rel=0.03)
    assert result.marks("measure-text") == [f"{shown:.1f} mm"]
    at = int(result.page.input_value("#slice-axial"))
    result.page.fill("#slice-axial", str(at + 2))
    assert result.marks("measure-text") == [], "a measurement belongs to its slice"
    result.page.fill("#slice-axial", str(at))
    assert len(result.marks("measure-text")) == 1
    result.page.click("#clear-measurements")
    assert result.marks("measure-text") == []
    assert not result.page.locator("#distance").is_visible()


def test_grey_window_can_be_dragged_and_reset(result):
    page = result.page
    result.view("Axial")
    page.click("#overlays-shown")
    page.click("#reset")
    usual = result.picture()
    values = page.inner_text("#window-values")
    with result.redrawn():
        result.drag((0.3, 0.4), (120, 0), button="right")
    wide = page.inner_text("#window-values")
    assert width_of(wide) > 1.2 * width_of(values)
    assert page.input_value("#window-preset") == "own"
    assert result.marks("window")[0].split() == wide.split()
    assert changed(usual, result.picture()) > 1000
    with result.redrawn():
        page.select_option("#window-preset", "bright")
    assert page.inner_text("#window-values") not in (values, wide)
    with result.redrawn():
        page.click("#reset")
    assert page.inner_text("#window-values") == values
    assert page.input_value("#window-preset") == "automatic"
    page.click("text=Window >> nth=0")
    with result.redrawn():
        result.drag((0.3, 0.4), (0, -60))
    assert level_of(page.inner_text("#window-values")) < level_of(values), "upwards makes the image brighter"
    with result.redrawn():
        page.click("#reset")
    page.click("#overlays-shown")


def width_of(text):
    return float(text.split()[1])


def level_of(text):
    return float(text.split()[3])


def test_crosshair_can_be_hidden(result):
    result.view("Axial")
    page = result.page
    with_lines = result.picture()
    with result.redrawn():
        page.click("#crosshair-shown")
    without = result.picture()
    assert changed(with_lines, without) > 200
    assert page.get_attribute("#crosshair-shown", "aria-pressed") == "false"
    with result.redrawn():
        page.keyboard.press("x")
    assert changed(with_lines, result.picture()) == 0


def test_each_label_can_be_hidden(result):
    page = result.page
    result.view("Axial")
    result.slide("entropy-opacity", 0)
    for filled in (True, False):
        result.outline(on=not filled)
        every = result.picture()
        assert min(count(every, colour) for colour in (YELLOW, GREEN)) > 40
        with result.redrawn():
            page.uncheck("#label-3")
        rest = result.picture()
        assert count(rest, YELLOW) < count(every, YELLOW) / 10, f"filled: {filled}"
        assert min(count(rest, colour) for colour in (RED, GREEN)) > 40, "the necrosis shares its outline with it"
        with result.redrawn():
            page.check("#label-3")
        assert changed(every, result.picture()) == 0


def test_one_key_toggles_all_overlays(result):
    result.view("Axial")
    shown = result.picture()
    assert count(shown, GREEN) > 40
    with result.redrawn():
        result.page.keyboard.press("o")
    bare = result.picture()
    assert max(count(bare, colour) for colour in (RED, YELLOW, GREEN)) < 10
    with result.redrawn():
        result.page.keyboard.press("o")
    assert changed(shown, result.picture()) == 0


def test_outlines_depend_only_on_slice(result):
    """A label that ends on the next slice is outlined, not filled, so the top of the tumour shows a ring."""
    page = result.page
    result.view("Axial")
    result.slide("entropy-opacity", 0)
    page.click(".area >> nth=1")
    page.fill("#slice-axial", str(CENTRE[2] + 1 + ENHANCING_MM - 1))  # last slice with enhancing tumour
    outlined = count(result.picture(), YELLOW)
    result.outline(on=False)
    filled = count(result.picture(), YELLOW)
    assert 0 < outlined < filled / 2


def test_keys_are_listed_and_can_be_turned_off(result):
    page = result.page
    page.keyboard.press("?")
    listed = page.inner_text("#help")
    for words in ("show or hide all overlays", "tool: measure", "view: 3D", "Mouse wheel"):
        assert words in listed
    page.uncheck("#shortcuts-on")
    page.click("#help >> text=Close")
    page.keyboard.press("o")
    assert page.get_attribute("#overlays-shown", "aria-pressed") == "true"
    page.click("#show-help")
    page.check("#shortcuts-on")
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    assert page.get_attribute("#overlays-shown", "aria-pressed") == "false"
    page.keyboard.press("o")


def test_volume_row_moves_crosshair_into_region(result):
    result.page.click(".area >> nth=0")
    assert result.readout()["Label"] == "Peritumoural oedema"
    result.page.click("th >> text=Enhancing tumour")
    assert result.readout()["Label"] == "Enhancing tumour"


def test_two_sequences_are_side_by_side_and_linked(result):
    page = result.page
    page.select_option("#beside", "flair")
    page.wait_for_selector(".picture[data-state=ready] >> nth=1")
    assert page.get_attribute("text=Axial", "aria-pressed") == "true", "two large planes instead of eight small ones"
    titles = [result.marks("title", number)[0] for number in (0, 1)]
    assert titles == ["T1ce", "FLAIR"]
    assert np.abs(result.picture(0) - result.picture(1)).mean() > 1
    page.fill("#slice-axial", "20")
    result.until(lambda: result.marks("slice", 1) == ["Axial 20 / 56"])
    second = page.locator("canvas >> nth=1").bounding_box()
    page.mouse.click(second["x"] + second["width"] * 0.6, second["y"] + second["height"] * 0.4)
    crosshair = page.input_value("#slice-sagittal")
    page.mouse.click(second["x"] + second["width"] * 0.4, second["y"] + second["height"] * 0.4)
    result.until(lambda: page.input_value("#slice-sagittal") != crosshair)
    page.select_option("#beside", "")
    assert page.locator(".picture").count() == 1


@pytest.mark.parametrize(("shift_mm", "flair"), [(0, "FLAIR"), (25, "FLAIR, not registered")])
def test_titles_state_which_image_was_registered(page_service, open_tab, made_head, tmp_path, shift_mm, flair):
    """The registered T1ce is on the grid of the results. The submitted FLAIR may not be, and then its title says so."""
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz").affine.copy()
    affine[:3, 3] += shift_mm
    results = make_results(tmp_path / "results", affine)
    shutil.copy(results / "entropy.nii.gz", results / "registered_t1ce.nii.gz")
    with page_service(folder=results) as client:
        tab = open_tab(client)
        tab.run(made_head)
        assert tab.marks("title") == ["T1ce, registered"]
        tab.background("flair")
        assert tab.marks("title") == [flair]
        assert tab.page.locator(".picture").get_attribute("data-aligned") == str(shift_mm == 0).lower()
