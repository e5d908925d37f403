"""The page's own checks: types, lint, unit tests."""

import subprocess
from pathlib import Path

from brats_mm.outputs.scene.style import COLOUR_MAP

VIEWER = Path(__file__).resolve().parents[2] / "apps" / "viewer"


def test_types_lint_and_unit_tests_of_the_page_pass(node_modules):
    done = subprocess.run(["npm", "run", "check"], cwd=VIEWER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_page_shows_entropy_in_the_colours_of_every_other_output():
    source = (VIEWER / "src" / "viewer.ts").read_text(encoding="utf-8")
    assert f'ENTROPY_COLOURS = "{COLOUR_MAP}"' in source
