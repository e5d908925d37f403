"""The page on a phone: layout, touch targets, swipes and taps."""

import pytest

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SMALL = """() => [...document.querySelectorAll("button, a:not(.skip), select, summary, label.button, .check label, input[type=text], input[type=file]:not(.unseen)")]
    .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
    .filter(([, box]) => box.height > 0 && (box.height < 44 || box.width < 44))
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""


@pytest.fixture
def phone(page_service, open_tab, made_head):
    with page_service() as client:
        tab = open_tab(client, **PHONE)
        tab.run(made_head)
        yield tab


def test_phone_layout_has_large_touch_targets(phone):
    page = phone.page
    page.click("summary")
    assert page.locator("header").bounding_box()["height"] <= 60
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(SMALL) == []
    canvas = page.locator("canvas").bounding_box()
    assert canvas["height"] > 350
    assert canvas["y"] + canvas["height"] < 844


def test_phone_header_shows_every_sequence(phone):
    nav = phone.page.locator("header nav").bounding_box()
    chips = phone.page.locator("header .chip")
    assert chips.all_text_contents() == ["T1ce", "FLAIR", "T1 missing", "T2 missing"]
    for chip in chips.all():
        box = chip.bounding_box()
        assert box["x"] + box["width"] <= nav["x"]
        assert box["height"] > 0


def test_phone_shows_findings_before_controls(phone):
    tops = [phone.page.locator(part).first.bounding_box()["y"] for part in (".picture", ".warnings", ".overlays")]
    assert tops == sorted(tops)


def swipe(page, x, y, up):
    """Send the touch events of an upward swipe."""
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for moved in range(0, up + 1, 20):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - moved}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_swipe_scrolls_page_and_tap_moves_crosshair(phone):
    page = phone.page
    box = page.locator("canvas").bounding_box()
    middle = {"x": box["x"] + box["width"] / 4, "y": box["y"] + box["height"] / 4}
    before = phone.readout()["Crosshair"]
    page.touchscreen.tap(middle["x"] + 20, middle["y"] + 10)
    phone.until(lambda: phone.readout().get("Crosshair", before) != before)
    tapped = phone.readout()["Crosshair"]
    swipe(page, middle["x"], middle["y"] + 150, up=200)
    phone.until(lambda: page.evaluate("document.querySelector('main').scrollTop") > 100)
    assert phone.readout()["Crosshair"] == tapped, "a swipe is not a tap"
