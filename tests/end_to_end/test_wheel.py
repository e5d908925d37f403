"""The built wheel is complete: it segments offline, outside the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked like by pip, without dependencies."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    environment = {
        **os.environ,
        "BRATS_MM_VIEWER": "skip",
    }  # the page has its own test, tests/viewer/test_page_in_wheel.py
    done = subprocess.run(build, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def call(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `brats-mm` from the unpacked wheel, in a separate folder, without network."""
    code = "import sys, brats_mm; assert sys.argv[1] in brats_mm.__file__, brats_mm.__file__; "
    code += "from brats_mm.cli.main import main; sys.exit(main(sys.argv[2:]))"
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-c", code, str(site), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_wheel_contains_bundle_and_segments(site, head_folder, tmp_path):
    doctor = call(site, tmp_path, "doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    (head_folder / "BraTS-GLI-00000-000-t1n.nii.gz").unlink()
    done = call(site, tmp_path, "segment", str(head_folder), "-o", "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    recorded = (
        (site / "brats_mm" / "bundles" / "brats_mm_segmentation" / "models" / "SHA256SUMS").read_text().split()[0]
    )
    assert report["model"]["weights_sha256"] == recorded
    assert report["sequences_missing"] == ["t1"]
    assert (tmp_path / "out" / "preview.png").stat().st_size > 10_000


def test_demo_creates_head_segments_and_draws(site, tmp_path):
    done = call(site, tmp_path, "demo", "-o", "demo", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "Dice against the true labels" in done.stdout
    names = {path.name for path in (tmp_path / "demo" / "result").iterdir()}
    assert {"segmentation.seg.nrrd", "preview.png", "probability_et.nii.gz", "importance_t1ce_et.nii.gz"} < names
