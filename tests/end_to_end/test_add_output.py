"""Following docs/add_output.md in a copy of the repository gives passing tests, types and style."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "apps/service",
    "brats_mm",
    "bundles/brats_mm_segmentation",
    "docs",
    "tests",
    "CONTRIBUTING.md",
    "README.md",
    "pyproject.toml",
)
WRITER = "brats_mm/outputs/npz.py"
CHECKED = (
    "tests/unit/outputs/test_npz.py",
    "tests/unit/pipeline/test_request.py",
    "tests/house/test_service_page.py::test_every_job_option_is_documented",
    "tests/house/test_house.py::test_reference_documents_every_option",
)


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


def insert(path, line, block, *, before=False, places=1):
    """Insert a block next to the lines with this start, with the same indentation."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = [number for number, text in enumerate(lines) if text.strip().startswith(line)]
    assert len(at) == places, f"{path.name} has {len(at)} lines that start with {line}"
    for number in reversed(at):
        deep = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
        lines.insert(number if before else number + 1, textwrap.indent(block.rstrip("\n"), deep))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def follow(clone):
    """Follow steps 1 to 4 of the tutorial."""
    page = (ROOT / "docs" / "add_output.md").read_text(encoding="utf-8")
    field, name, writer, call, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    reference, service, readme = re.findall(r"```markdown\n(.*?)```", page, re.DOTALL)
    options, results = (clone / "brats_mm" / place for place in ("domain/options.py", "outputs/results.py"))
    insert(options, "scene: bool = option(", field)
    insert(options, 'extra = {"preview.png"', name)
    (clone / "brats_mm" / "outputs" / "npz.py").write_text(writer, encoding="utf-8")
    insert(results, "if dicom is not None:", call, before=True)
    (clone / "tests" / "unit" / "outputs" / "test_npz.py").write_text(test, encoding="utf-8")
    request = clone / "tests" / "unit" / "pipeline" / "test_request.py"
    found, replacement = re.search(r"[Rr]eplace\s+`([^`]+)` with\s+`([^`]+)`", page).groups()
    text = request.read_text(encoding="utf-8")
    assert text.count(found) == 1
    assert f"def {re.search(r'`(test_http_[a-z_]+)`', page)[1]}(" in text
    request.write_text(text.replace(found, replacement), encoding="utf-8")
    insert(clone / "docs" / "commands.md", "| `--scene` |", reference, places=2)
    insert(clone / "docs" / "service.md", "| `preview`, ", service)
    insert(clone / "README.md", "| `preview.png` |", readme, before=True)


@pytest.mark.slow
def test_tutorial_adds_working_output(clone):
    follow(clone)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(clone), str(clone / "apps" / "service")])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHECKED]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_writer_of_tutorial_has_types(clone):
    """It is what a contributor copies. Other modules are not followed, which would take minutes."""
    follow(clone)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", WRITER]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=" ".join)
def test_code_of_tutorial_names_what_exists_and_has_style(clone, arguments):
    """An undefined name shows that the code around it has changed."""
    follow(clone)
    changed = [WRITER, "brats_mm/domain/options.py", "brats_mm/outputs/results.py"]
    command = [sys.executable, "-m", "ruff", *arguments, *changed]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
