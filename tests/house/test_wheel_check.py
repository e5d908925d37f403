"""The wheel in empty environments, with the oldest and the newest allowed dependencies. Needs minutes and the network.

BRATS_MM_WHEEL_CHECK=1 runs it, and prints the versions and the seconds. BRATS_MM_WHEEL names a wheel or sdist,
otherwise a wheel is built. docker/check_install.sh documents the variables for torch.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("BRATS_MM_WHEEL_CHECK") != "1", reason="takes minutes and the network: BRATS_MM_WHEEL_CHECK=1"
    ),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    if named := os.environ.get("BRATS_MM_WHEEL"):
        return named
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    return str(wheel)


@pytest.mark.parametrize("versions", ["lowest", "newest"])
def test_wheel_installs_segments_and_serves(package, versions):
    script = [str(ROOT / "docker" / "check_install.sh"), package, versions, sys.executable]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"== {versions}: installed, segmented, served in" in done.stdout
    print(done.stdout)  # noqa: T201
