"""Check this installation, and suggest how to fix problems.

Optional items are listed first, and essential items last.
"""

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from brats_mm.errors import BratsMMError
from brats_mm.io.bundle import open_bundle, verify_hash

NEEDED_FREE_BYTES = 2 * 1024**3
NEEDED_MEMORY_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Check:
    """Result of one check. `state` is `ok`, `warning` (works with restrictions) or `failed`."""

    name: str
    state: str
    found: str


def run_checks(bundle: str | None = None, *, trusted: bool = False) -> tuple[Check, ...]:
    """Run all checks. Errors are reported as failed checks.

    Args:
        bundle: folder of the bundle to check. None is the installed one.
        trusted: run any code that the bundle's config refers to.
    """
    steps: tuple[tuple[str, Callable[[], Check]], ...] = (
        ("GPU", _check_gpu),
        ("backend", _check_backend),
        ("memory", _check_memory),
        ("disk", _check_disk),
        ("writing", _check_writable),
        ("versions", _check_versions),
        ("convolution", _check_convolution),
        ("weights", lambda: _check_weights(bundle)),
        ("model", lambda: _check_model(bundle, trusted=trusted)),
    )
    return tuple(_run_check(name, step) for name, step in steps)


def _run_check(name: str, step: Callable[[], Check]) -> Check:
    try:
        return step()
    except BratsMMError as error:
        return Check(name, "failed", str(error))
    except Exception as error:  # noqa: BLE001 (report any error as a failed check)
        return Check(name, "failed", f"{type(error).__name__}: {error}")


def _check_gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("GPU", "ok", "none, so the CPU will be used")
    free, total = torch.cuda.mem_get_info()
    return Check("GPU", "ok", f"{torch.cuda.get_device_name()}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")


def _check_backend() -> Check:
    if importlib.util.find_spec("openvino") is None:
        description = 'PyTorch (on a CPU, OpenVINO halves the time: pip install "brats-mm[openvino]")'
        return Check("backend", "ok", description)
    from brats_mm.inference.openvino_backend import choose_precision

    return Check("backend", "ok", f"OpenVINO {_read_version('openvino')} on the CPU, {choose_precision()}")


def _check_memory() -> Check:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return Check("memory", "ok", "free memory is unknown on this system")
    state = "ok" if free >= NEEDED_MEMORY_BYTES else "warning"
    return Check("memory", state, f"{free / 1e9:.1f} GB free of at least {NEEDED_MEMORY_BYTES / 1e9:.1f} advised")


def _check_disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    state = "ok" if free >= NEEDED_FREE_BYTES else "warning"
    return Check("disk", state, f"{free / 1e9:.1f} GB free in the current folder")


def _check_writable() -> Check:
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()) as stream:
            stream.write(b"brats-mm")
    except OSError as error:
        return Check(
            "writing", "warning", f"the current folder is not writable ({error.strerror}). Set another folder with -o"
        )
    return Check("writing", "ok", "the current folder is writable")


def _check_versions() -> Check:
    names = ("brats-mm", "torch", "monai", "numpy", "nibabel", "SimpleITK")
    versions = ", ".join(f"{name} {_read_version(name)}" for name in names)
    return Check(
        "versions", "ok", f"Python {sys.version.split()[0]} on {platform.system()} {platform.machine()}, {versions}"
    )


def _read_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed as a package)"


def _check_convolution() -> Check:
    import torch

    torch.manual_seed(0)
    image, kernel = torch.ones(1, 8, 64, 64, 64), torch.ones(8, 8, 3, 3, 3)
    start = time.perf_counter()
    answer = torch.nn.functional.conv3d(image, kernel, padding=1)
    elapsed = time.perf_counter() - start
    # The centre voxel sums 8 channels of 27 ones.
    right = abs(float(answer[0, 0, 32, 32, 32]) - 216.0) < 1e-3
    rate = 2 * 8 * 8 * 27 * 64**3 / elapsed / 1e9
    return Check("convolution", "ok" if right else "failed", f"{torch.get_num_threads()} threads, {rate:.0f} GFLOP/s")


def _check_weights(bundle: str | None) -> Check:
    opened = open_bundle(bundle)
    digest = verify_hash(opened)
    if opened.recorded_hash() is None:
        return Check("weights", "warning", f"SHA-256 {digest[:12]}..., but the bundle has no recorded hash")
    return Check("weights", "ok", f"SHA-256 {digest[:12]}... as recorded")


def _check_model(bundle: str | None, *, trusted: bool) -> Check:
    from brats_mm.pipeline.network import load_network

    _, identity = load_network(open_bundle(bundle), trusted=trusted)
    return Check("model", "ok", f"{identity.name} {identity.version}, {identity.parameters:,} parameters")
