"""The page can be used without a mouse, by screen readers, and in both themes."""

from tests.fakes.step_gate import StepGate


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")


def press_until(page, requested, key="Tab", most=60):
    """Press a key until an element has the focus, and check that the focus is visible."""
    for _ in range(most):
        page.keyboard.press(key)
        if focused(page) == requested:
            return
    raise AssertionError(f"{requested!r} cannot be reached with {key}")


def test_whole_session_works_with_keyboard_only(page_service, open_tab, made_head):
    with page_service() as client:
        tab = open_tab(client)
        page = tab.page
        press_until(page, "choose-files")
        outline = "getComputedStyle(document.querySelector('[for=choose-files]')).outlineStyle"
        assert page.evaluate(outline) == "solid", "the focus is seen"
        tab.give(made_head)  # a page cannot control the file dialog of the system
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
        tab.until(lambda: "entropy" in page.inner_text("#announce"))
        press_until(page, "segmentation-opacity")
        page.keyboard.press("Home")
        assert page.get_attribute("#segmentation-opacity", "aria-valuetext") == "0 %"
        page.keyboard.press("Tab")
        press_until(page, "threshold")
        page.locator(".area").first.focus()
        page.keyboard.press("Enter")
        assert tab.readout()["Entropy"] == "1.20 nats"


def test_axe_reports_no_violations_in_either_theme(page_service, open_tab, made_head, node_modules, tmp_path):
    axe = (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    gate = StepGate(tmp_path / "gate")
    with page_service(steps=1, **gate.behaviour) as client:
        tab = open_tab(client)
        assert faults(tab.page, axe) == []
        tab.give(made_head)
        assert faults(tab.page, axe) == []
        tab.page.click("#run")
        gate.open(2)
        tab.page.wait_for_selector(".stages .now:has-text('Segmenting')")
        assert faults(tab.page, axe) == []
        gate.open(4)
        tab.shown()
        tab.page.click("summary")
        assert faults(tab.page, axe) == []


def faults(page, axe):
    """Return the violations that axe reports. It is injected by the debugger, because the page's policy forbids it."""
    page.evaluate(axe)
    met = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        evaluation = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        met += [(scheme, one["id"], [node["html"][:120] for node in one["nodes"]]) for one in evaluation["violations"]]
    return met


def test_theme_follows_system_until_chosen(page_service, open_tab):
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
