"""The pictures of the documentation wait for conditions, so a slow machine does not break them."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "apps" / "viewer"))
import screenshots


class FakePage:
    """A page that shows an element, or a problem, after some looks. Each look may advance the progress."""

    def __init__(self, *, ready_after=None, problem_after=None, steps=0):
        self.ready_after, self.problem_after, self.steps = ready_after, problem_after, steps
        self.looks, self.now_s = 0, 0.0

    def locator(self, selector):
        return FakeElements(self, selector)

    def wait_for_timeout(self, milliseconds):
        self.looks += 1
        self.now_s += 1000


class FakeElements:
    def __init__(self, page, selector):
        self.page, self.selector, self.first = page, selector, self

    def is_visible(self):
        return self.page.ready_after is not None and self.page.looks >= self.page.ready_after

    def count(self):
        return int(self.page.problem_after is not None and self.page.looks >= self.page.problem_after)

    def inner_text(self):
        return "The volume is damaged"

    def evaluate_all(self, script):
        return [min(self.page.looks, self.page.steps)]


@pytest.fixture
def watched(monkeypatch):
    """Wait on a fake page, whose clock advances by 1000 s with each look."""

    def run(**behaviour):
        page = FakePage(**behaviour)
        monkeypatch.setattr(screenshots.time, "monotonic", lambda: page.now_s)
        screenshots.shown(page, "#run")
        return page

    return run


def test_waits_as_long_as_there_is_progress(watched):
    """Nine steps take 9000 s, longer than a job may stand still."""
    assert watched(ready_after=9, steps=9).looks == 9


def test_stops_when_a_job_stands_still(watched):
    with pytest.raises(SystemExit, match="No progress for 30 minutes while waiting for #run"):
        watched(steps=4)


def test_stops_at_a_problem_of_the_page(watched):
    with pytest.raises(SystemExit, match="The volume is damaged"):
        watched(problem_after=2, steps=9)
