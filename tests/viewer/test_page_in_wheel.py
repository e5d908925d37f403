"""The wheel contains the page if it was built, and is valid without it."""

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def wheel_names(folder, viewer, source=ROOT, kind="wheel", **changes):
    """Return the file names in a wheel that was built with this value of BRATS_MM_VIEWER."""
    build = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(folder), str(source)]
    environment = {**os.environ, "BRATS_MM_VIEWER": viewer, **changes}
    done = subprocess.run(build, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if kind == "sdist":
        (packed,) = folder.glob("*.tar.gz")
        with tarfile.open(packed) as archive:
            return archive.getnames()
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_contains_page(built_page, tmp_path):
    names = wheel_names(tmp_path, "require")
    assert "brats_mm_service/page/index.html" in names
    assert any(name.startswith("brats_mm_service/page/assets/result-") for name in names)
    assert not any("node_modules" in name for name in names)


def test_source_distribution_contains_page_so_wheel_needs_no_node(built_page, tmp_path):
    names = wheel_names(tmp_path / "sdist", "require", kind="sdist")
    assert any(name.endswith("/apps/viewer/dist/index.html") for name in names)
    assert not any("node_modules" in name for name in names)
    (packed,) = (tmp_path / "sdist").glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    no_npm = os.pathsep.join(
        place for place in os.environ["PATH"].split(os.pathsep) if not (Path(place) / "npm").exists()
    )
    assert "brats_mm_service/page/index.html" in wheel_names(tmp_path / "wheel", "require", source, PATH=no_npm)


@pytest.mark.slow
def test_wheel_builds_without_page(tmp_path):
    names = wheel_names(tmp_path, "skip")
    assert "brats_mm_service/app.py" in names
    assert not any(name.startswith("brats_mm_service/page/") for name in names)


@pytest.fixture
def hook_module():
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_hook", ROOT / "apps" / "viewer" / "hatch_hook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class App:
    """Stand-in for hatchling's application object."""

    def __init__(self):
        self.warnings = []

    def display_warning(self, text):
        self.warnings.append(text)


def run_hook(module, root, version="standard"):
    app, data = App(), {"force_include": {}}
    hook = module.ViewerHook(str(root), {}, None, None, str(root), "wheel", app)
    hook.initialize(version, data)
    return data["force_include"], app.warnings


def test_wheel_builds_with_warning_without_npm(hook_module, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BRATS_MM_VIEWER", raising=False)
    included, warnings = run_hook(hook_module, tmp_path)
    assert included == {}
    assert "npm is not installed" in warnings[0]
    monkeypatch.setenv("BRATS_MM_VIEWER", "require")
    with pytest.raises(RuntimeError, match="npm is not installed"):
        run_hook(hook_module, tmp_path)


def test_existing_page_is_used_unchanged(hook_module, tmp_path, monkeypatch):
    monkeypatch.delenv("BRATS_MM_VIEWER", raising=False)
    dist = tmp_path / "apps" / "viewer" / "dist"
    dist.mkdir(parents=True)
    (dist / "index.html").write_text("page")
    assert run_hook(hook_module, tmp_path) == ({str(dist): "brats_mm_service/page"}, [])
    assert run_hook(hook_module, tmp_path, "editable") == ({}, [])


def test_failed_build_is_reported(hook_module, tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no way >&2\nexit 1\n")
    npm.chmod(0o755)
    folder = tmp_path / "apps" / "viewer"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("BRATS_MM_VIEWER", raising=False)
    _, warnings = run_hook(hook_module, tmp_path)
    assert "failed (no way)" in warnings[0]
