"""The page can be used without a mouse, by screen readers, in both themes and on tablets."""

import pytest

SIZES = {"laptop": (1366, 768), "tablet": (1024, 768), "upright tablet": (768, 1024)}


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")


def press_until(page, wanted, key="Tab", most=60):
    """Go on with a key until something has the focus, which must then be seen to have it."""
    for _ in range(most):
        page.keyboard.press(key)
        if focused(page) == wanted:
            return
    message = f"{wanted!r} cannot be reached with {key}"
    raise AssertionError(message)


def test_the_whole_way_with_the_keyboard_alone(page_service, open_tab, made_head):
    with page_service() as client:
        tab = open_tab(client)
        page = tab.page
        press_until(page, "choose-files")
        outline = "getComputedStyle(document.querySelector('[for=choose-files]')).outlineStyle"
        assert page.evaluate(outline) == "solid", "the focus is seen"
        tab.give(made_head)  # the system's own window for files is beyond a page
        press_until(page, "sequence-1")
        assert page.evaluate("document.activeElement.value") == "flair"
        press_until(page, "run")
        page.keyboard.press("Enter")
        tab.shown()
        press_until(page, "Axial")
        page.keyboard.press("Enter")
        assert page.get_attribute("text=Axial", "aria-pressed") == "true"
        press_until(page, "")
        assert page.evaluate("document.activeElement.tagName") == "CANVAS"
        before = tab.readout()["Crosshair"]
        page.keyboard.press("PageUp")
        page.keyboard.press("Shift+ArrowLeft")
        after = tab.readout()["Crosshair"]
        assert before != after
        page.wait_for_function("document.getElementById('announce').textContent.includes('entropy')")
        press_until(page, "segmentation-opacity")
        page.keyboard.press("Home")
        assert page.get_attribute("#segmentation-opacity", "aria-valuetext") == "0 %"
        page.keyboard.press("Tab")
        press_until(page, "threshold")
        page.locator(".spot").first.focus()
        page.keyboard.press("Enter")
        assert tab.readout()["Entropy"] == "1.20 nats"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_object_to(page_service, open_tab, made_head, node_modules, scheme):
    axe = (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    with page_service(steps=1, pause_s=1.5) as client:
        tab = open_tab(client, color_scheme=scheme)
        assert faults(tab.page, axe) == []
        tab.give(made_head)
        assert faults(tab.page, axe) == []
        tab.page.click("#run")
        tab.page.wait_for_selector(".stages .now")
        assert faults(tab.page, axe) == []
        tab.shown()
        tab.page.click("summary")
        assert faults(tab.page, axe) == []


def faults(page, axe):
    """What axe objects to; injected by the debugger, which the page's policy does not bind."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_nothing_is_cut_off_at_usual_sizes(page_service, open_tab, made_head, size):
    with page_service() as client:
        tab = open_tab(client, viewport={"width": size[0], "height": size[1]})
        tab.run(made_head)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        canvas = tab.page.locator("canvas").bounding_box()
        assert canvas["width"] > 600
        assert canvas["height"] > 400
        footer = tab.page.locator("footer").bounding_box()
        assert footer["y"] + footer["height"] <= size[1]
        assert tab.page.locator(".readout").is_visible()


def test_the_theme_follows_the_system_until_it_is_chosen(page_service, open_tab):
    ground = "getComputedStyle(document.body).backgroundColor"
    with page_service() as client:
        tab = open_tab(client, color_scheme="dark")
        dark = tab.page.evaluate(ground)
        tab.page.click("#theme")
        assert tab.page.evaluate(ground) != dark
        tab.page.reload()
        assert tab.page.evaluate(ground) != dark
        tab.page.click("#theme")
        assert tab.page.evaluate(ground) == dark
