"""A browser tab with actions that tests share."""

import io
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

TWO = ("BraTS-GLI-00000-000-t1c.nii.gz", "BraTS-GLI-00000-000-t2f.nii.gz")
RED, GREEN, YELLOW = (225, 87, 89), (89, 161, 79), (242, 190, 44)
LONGEST_MS = 600_000


class Tab:
    """One page. Closing it reports its errors and its requests to other hosts."""

    def __init__(self, context, client):
        self.client = client
        self.context = context
        self.page = context.new_page()
        self.page.set_default_timeout(LONGEST_MS)
        self.hosts, self.errors = set(), []
        self.expected = ()
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def go(self, address):
        base = str(self.client.base_url).rstrip("/")
        self.page.goto(base + address if address.startswith("/") else address)

    def close(self):
        self.context.close()
        own = urlsplit(str(self.client.base_url)).netloc
        assert self.hosts - {own, ""} == set(), "the page asked another host"
        met = [error for error in self.errors if not any(words in error for words in self.expected)]
        assert not met, met

    def give(self, head, *names):
        """Choose files of the synthetic head."""
        self.page.set_input_files("#choose-files", [head / name for name in names or TWO])

    def run(self, head):
        """Segment two sequences, until the images are shown."""
        self.give(head)
        self.page.click("#run")
        self.shown()

    def shown(self):
        """Wait for the images."""
        self.page.wait_for_selector(".picture[data-state=ready]")

    def picture(self, number=0):
        """Return the images of a pane with the outlines and marks over them: (height, width, 3)."""
        content = self.page.locator(".picture").nth(number).screenshot()
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)

    def marks(self, kind, number=0):
        """Return the texts of one kind on the images of a pane."""
        return self.page.locator(".picture").nth(number).locator(f".marks .{kind}").all_text_contents()

    def drag(self, start, end, button="left"):
        """Drag over the first pane. Points are fractions of its width and height."""
        box = self.page.locator(".picture").first.bounding_box()
        mouse = self.page.mouse
        mouse.move(box["x"] + box["width"] * start[0], box["y"] + box["height"] * start[1])
        mouse.down(button=button)
        mouse.move(box["x"] + box["width"] * start[0] + end[0], box["y"] + box["height"] * start[1] + end[1], steps=4)
        mouse.up(button=button)

    def measure(self, start, end):
        """Drag with the measuring tool, again if the page misses it under load. Return the distance in millimetres."""
        shown = self.page.locator("#distance")
        for _ in range(10):
            self.drag(start, end)
            late = time.monotonic() + LONGEST_MS / 60_000
            while not shown.is_visible() and time.monotonic() < late:
                self.page.wait_for_timeout(50)
            if shown.is_visible():
                break
        return float(shown.inner_text().removesuffix(" mm"))

    def readout(self):
        """Return the values by name in the line below the images, read in one call, because the line can vanish."""
        text = "rows => rows.map(row => [row.querySelector('dt').innerText, row.querySelector('dd').innerText])"
        return dict(self.page.locator(".readout > div").evaluate_all(text))

    def until(self, condition):
        """Poll from outside the page, because its content security policy forbids `eval`."""
        end = time.monotonic() + LONGEST_MS / 1000
        while not condition():
            assert time.monotonic() < end, "it did not come in time"
            self.page.wait_for_timeout(50)

    @contextmanager
    def redrawn(self):
        """Wait until the images are redrawn after the block."""
        drawn = "Number(document.querySelector('canvas').dataset.drawn)"
        before = self.page.evaluate(drawn)
        yield
        self.until(lambda: self.page.evaluate(drawn) > before)

    def slide(self, name, value):
        with self.redrawn():
            self.page.fill(f"#{name}", str(value))

    def outline(self, *, on):
        box = self.page.locator("#outline")
        if box.is_checked() != on:
            with self.redrawn():
                box.click()

    def view(self, name):
        with self.redrawn():
            self.page.click(f".switch >> text={name}")

    def background(self, name):
        with self.redrawn():
            self.page.select_option("#background", name)

    def errors_are_expected(self, *words):
        """Expect errors with these words, because the browser logs rejected requests."""
        self.expected = words


def count(picture, colour, within=40):
    """Return the number of pixels with about the given colour."""
    return int((np.abs(picture - np.array(colour)).max(axis=-1) < within).sum())


def changed(before, after):
    """Return the number of pixels that differ clearly."""
    return int((np.abs(before - after).max(axis=-1) > 24).sum())
