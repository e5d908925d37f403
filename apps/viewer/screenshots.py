"""Take the pictures of docs/viewer.md: a case from files to findings through a running service, in Chromium.

    brats-mm serve
    python apps/viewer/screenshots.py http://127.0.0.1:8000 docs/pictures t1ce.nii.gz flair.nii.gz

Needs the Python package playwright, and chromium on the path. It waits for what the page shows, on slow machines too,
and stops if the page reports a problem or if a job makes no progress for half an hour.
"""

import argparse
import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FLAGS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")
LAPTOP = {"width": 1366, "height": 768}
TABLET = {"width": 768, "height": 1024}
PHONE = {"width": 390, "height": 844}
STALLED_S = 1800
POLL_MS = 250
# A service that does not respond for a while is not a problem: the page keeps trying.
PROBLEM = ".problem:not(#silence .problem)"
FINISHED = """() => {
    const gl = document.querySelector("canvas").getContext("webgl2");
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
}"""


PROGRESS = "all => all.map(one => one.value ?? one.dataset.state ?? one.innerText)"
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))"


def main() -> None:
    """Read the command line and take every picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="a running service")
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    parser.add_argument("images", type=Path, nargs="+", help="the sequences of one case")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport=LAPTOP, color_scheme="light")
        page.set_default_timeout(1000 * STALLED_S)
        journey(page, options.url, options.folder, options.images)
        browser.close()


def journey(page: Page, url: str, folder: Path, images: list[Path]) -> None:
    """Submit a case on an empty page, and take pictures until the result is shown."""
    page.goto(url)
    page.set_input_files("#choose-files", images)
    shown(page, "#run")
    picture(page, folder / "viewer-start.png")
    page.click("#run")
    shown(page, ".picture[data-state=ready]")
    result(page, folder)


def result(page: Page, folder: Path) -> None:
    """Take pictures of a result: both themes, one filled plane, two sequences, a comparison, a tablet and a phone."""
    settled(page)
    picture(page, folder / "viewer-light.png")
    page.emulate_media(color_scheme="dark")
    settled(page)
    picture(page, folder / "viewer-dark.png")
    page.click("text=Axial")
    page.select_option("#background", "flair")
    page.uncheck("#outline")
    page.fill("#segmentation-opacity", "0.5")
    page.fill("#entropy-opacity", "0")
    shown(page, ".marks .title >> text=/^FLAIR/")
    settled(page)
    picture(page, folder / "viewer-axial.png")
    page.check("#outline")
    page.fill("#segmentation-opacity", "1")
    page.fill("#entropy-opacity", "0.6")
    page.select_option("#background", "t1ce")
    shown(page, ".marks .title >> text=/^T1ce/")
    page.select_option("#beside", "flair")
    shown(page, ".picture[data-state=ready] >> nth=1")
    settled(page)
    picture(page, folder / "viewer-beside.png")
    page.click("button:has-text('Without FLAIR')")
    shown(page, "#what-if-outcome table")
    page.locator("#what-if").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('what-if').scrollIntoView()")
    settled(page)
    picture(page, folder / "viewer-what-if.png")
    page.click("#end-comparison")
    page.evaluate("document.querySelector('.side').scrollTo(0, 0)")
    page.click("text=All >> nth=0")
    for name, size in {"tablet": TABLET, "phone": PHONE}.items():
        page.set_viewport_size(size)
        settled(page)
        picture(page, folder / f"viewer-{name}.png")


def shown(page: Page, selector: str) -> None:
    """Wait until an element is visible. Stop at a problem, or if the progress of a job stands still."""
    last, since = "", time.monotonic()
    while not page.locator(selector).is_visible():
        problem = page.locator(PROBLEM)
        if problem.count():
            sys.exit(f"The page reports a problem: {problem.first.inner_text()}")
        now = str(page.locator("progress, .stages, [data-state]").evaluate_all(PROGRESS))
        last, since = (last, since) if now == last else (now, time.monotonic())
        if time.monotonic() - since > STALLED_S:
            sys.exit(f"No progress for {STALLED_S // 60} minutes while waiting for {selector}. See the service's log.")
        page.wait_for_timeout(POLL_MS)


def settled(page: Page) -> None:
    """Wait until everything is drawn: no image is loading, reading a pixel waits for the renderer, and two consecutive
    pictures are equal.
    """
    shown(page, ".pictures:not(:has([data-state=loading]))")
    page.evaluate(FINISHED)
    before = b""
    while (now := page.screenshot()) != before:
        before = now
        page.evaluate(TWO_FRAMES)
        page.evaluate(FINISHED)
        page.wait_for_timeout(POLL_MS)


def picture(page: Page, path: Path) -> None:
    """Save a picture of the page without its alpha channel, which is opaque everywhere."""
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main()
