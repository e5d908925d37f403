"""Puts the built page into the wheel: as it lies in `dist`, else built with npm where there is one, else not at all.

The variable BRATS_MM_VIEWER decides otherwise: `skip` leaves the page out, `require` fails without it.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = "brats_mm_service/page"
_STEPS = (("npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=1"), ("npm", "run", "build"))
_LONGEST_S = 300


class ViewerHook(BuildHookInterface[Any]):
    """Named in pyproject.toml; hatchling finds it as the only hook of this file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the page's folder to a wheel; an editable install serves it from the checkout."""
        wanted = os.environ.get("BRATS_MM_VIEWER", "")
        if version == "editable" or wanted == "skip":
            return
        folder = Path(self.root, "apps", "viewer")
        why = None if is_built(folder) else build(folder)
        if why is None:
            build_data["force_include"][str(folder / "dist")] = TARGET
        elif wanted == "require":
            raise RuntimeError(why)
        else:
            self.app.display_warning(f"{why} The service will say how to build it.")


def is_built(folder: Path) -> bool:
    """Whether the page lies there, built."""
    return (folder / "dist" / "index.html").is_file()


def build(folder: Path) -> str | None:
    """Build the page; says why if that cannot be done."""
    if shutil.which("npm") is None:
        return "The wheel has no web page: npm is not installed."
    for step in _STEPS:
        try:
            done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"The wheel has no web page: `{' '.join(step)}` did not end well ({type(error).__name__})."
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            return f"The wheel has no web page: `{' '.join(step)}` failed ({last})."
    return None if is_built(folder) else "The wheel has no web page: its build left none."
