"""The real MONAI Label client, from the wheel and without its server's dependencies, for contract tests."""

import importlib
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

WHEEL = "monailabel==0.8.5"


def real_client():
    """Return the client's module. Skip the test if the wheel is unavailable or does not run on this Python."""
    if sys.version_info >= (3, 13):
        pytest.skip(f"{WHEEL} needs the module cgi, which Python 3.13 no longer has")
    folder = Path(tempfile.gettempdir()) / f"brats-mm-tests-{WHEEL.replace('==', '-')}"
    if not (folder / "monailabel" / "client").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"{WHEEL} cannot be installed here: {done.stderr.strip()[-200:]}")
    sys.path.insert(0, str(folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("monailabel.client.client")
    finally:
        sys.path.remove(str(folder))
