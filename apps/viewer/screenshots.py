"""Take the pictures of docs/viewer.md: a case from files to findings through a running service, in Chromium.

    brats-mm serve
    python apps/viewer/screenshots.py http://127.0.0.1:8000 docs/pictures t1ce.nii.gz flair.nii.gz

Needs the Python package playwright, and chromium on the path.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FLAGS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")
LAPTOP = {"width": 1366, "height": 768}
TABLET = {"width": 768, "height": 1024}
PHONE = {"width": 390, "height": 844}
LONGEST_MS = 600_000
FINISHED = """() => {
    const gl = document.querySelector("canvas").getContext("webgl2");
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
}"""


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
        page.set_default_timeout(LONGEST_MS)
        journey(page, options.url, options.folder, options.images)
        browser.close()


def journey(page: Page, url: str, folder: Path, images: list[Path]) -> None:
    """Submit a case on an empty page, and take pictures until the result is shown."""
    page.goto(url)
    page.set_input_files("#choose-files", images)
    page.wait_for_selector("#run")
    picture(page, folder / "viewer-start.png")
    page.click("#run")
    page.wait_for_selector(".picture[data-state=ready]")
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
    settled(page)
    picture(page, folder / "viewer-axial.png")
    page.check("#outline")
    page.fill("#segmentation-opacity", "1")
    page.fill("#entropy-opacity", "0.6")
    page.select_option("#background", "t1ce")
    page.select_option("#beside", "flair")
    page.wait_for_selector(".picture[data-state=ready] >> nth=1")
    settled(page)
    picture(page, folder / "viewer-beside.png")
    page.click("text=Without FLAIR")
    page.wait_for_selector("#what-if-outcome table")
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


def settled(page: Page) -> None:
    """Wait until everything is drawn: reading a pixel waits for the renderer, and two consecutive pictures must be
    equal.
    """
    page.wait_for_timeout(500)
    page.evaluate(FINISHED)
    before = b""
    while (now := page.screenshot()) != before:
        before = now
        page.wait_for_timeout(1500)


def picture(page: Page, path: Path) -> None:
    """Save a picture of the page without its alpha channel, which is opaque everywhere."""
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main()
