"""Following docs/add_output.md in a copy of the repository gives a passing test."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("apps/service", "brats_mm", "bundles/brats_mm_segmentation", "tests", "pyproject.toml")


@pytest.fixture
def clone(tmp_path):
    """Copy of the files that the tutorial changes and its test needs."""
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        if source.is_file():
            shutil.copy(source, target)
        else:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def insert(path, line, block, *, before=False):
    """Insert a block next to the only line with this start, with the same indentation."""
    lines = path.read_text(encoding="utf-8").splitlines()
    (at,) = [number for number, text in enumerate(lines) if text.strip().startswith(line)]
    deep = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    lines.insert(at if before else at + 1, textwrap.indent(block.rstrip("\n"), deep))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_tutorial_adds_working_output(clone):
    page = (ROOT / "docs" / "add_output.md").read_text(encoding="utf-8")
    field, name, writer, call, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    options, results = (clone / "brats_mm" / place for place in ("domain/options.py", "outputs/results.py"))
    insert(options, "scene: bool = option(", field)
    insert(options, 'extra = {"preview.png"', name)
    (clone / "brats_mm" / "outputs" / "npz.py").write_text(writer, encoding="utf-8")
    insert(results, "if dicom is not None:", call, before=True)
    (clone / "tests" / "unit" / "outputs" / "test_npz.py").write_text(test, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(clone), str(clone / "apps" / "service")])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/outputs/test_npz.py"]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "1 passed" in done.stdout
