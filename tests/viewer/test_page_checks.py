"""Checks of the page: types, lint, unit tests."""

import subprocess
from pathlib import Path

VIEWER = Path(__file__).resolve().parents[2] / "apps" / "viewer"


def test_types_lint_and_unit_tests_pass(node_modules):
    done = subprocess.run(["npm", "run", "check"], cwd=VIEWER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_page_takes_colours_and_grey_window_from_library():
    """The page's unit tests check the values."""
    for name in ("viewer.ts", "window.ts"):
        assert 'from "../../../brats_mm/domain/display.json"' in (VIEWER / "src" / name).read_text(encoding="utf-8")
