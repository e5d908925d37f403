"""Add the page to the wheel and the source distribution. Build it with npm if needed.

Without npm and without a built page, the package has no page and the build warns. The variable BRATS_MM_VIEWER changes
this: `skip` omits the page, and `require` fails without it.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = "brats_mm_service/page"
SOURCE_TARGET = "apps/viewer/dist"
_STEPS = (("npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=1"), ("npm", "run", "build"))
_LONGEST_S = 300


class ViewerHook(BuildHookInterface[Any]):
    """Build hook named in pyproject.toml. Hatchling uses the only hook class of this file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder of the page. An editable install serves it from the checkout."""
        wanted = os.environ.get("BRATS_MM_VIEWER", "")
        if version == "editable" or wanted == "skip":
            return
        folder = Path(self.root, "apps", "viewer")
        why = None if is_built(folder) else build(folder)
        if why is None:
            # A source distribution keeps the folders of the checkout, so that a wheel can be built from either.
            target = TARGET if self.target_name == "wheel" else SOURCE_TARGET
            build_data["force_include"][str(folder / "dist")] = target
        elif wanted == "require":
            raise RuntimeError(why)
        else:
            self.app.display_warning(f"{why} The service explains how to add it.")


def is_built(folder: Path) -> bool:
    """Return whether the page is built."""
    return (folder / "dist" / "index.html").is_file()


def build(folder: Path) -> str | None:
    """Build the page. Return the reason of a failure, or None."""
    if shutil.which("npm") is None:
        return "The package has no web page: npm is not installed."
    for step in _STEPS:
        try:
            done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"The package has no web page: `{' '.join(step)}` failed ({type(error).__name__})."
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            return f"The package has no web page: `{' '.join(step)}` failed ({last})."
    return None if is_built(folder) else "The package has no web page: `npm run build` wrote none."
