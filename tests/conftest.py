"""Shared fixtures: tiny networks, synthetic cases, and real cases if available."""

import gc
import logging
import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

# A busy machine draws examples slowly, and a failure must come again in the next run.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

REAL_CASES = "BRATS_MM_REAL_CASES"
SLOW_FIXTURES = frozenset({"browser", "built_page", "node_modules", "real_cases"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that drive a browser, build the page or read real cases as slow, before `-m` selects."""
    for item in items:
        named = SLOW_FIXTURES & set(getattr(item, "fixturenames", ()))
        if named or item.get_closest_marker("real"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def real_cases() -> Path:
    """Folder of real BraTS-like cases with one subfolder each. Tests are skipped without it."""
    named = os.environ.get(REAL_CASES)
    if not named or not Path(named).is_dir():
        pytest.skip(f"no real cases: set {REAL_CASES} to a folder with one subfolder a case")
    return Path(named)


@pytest.fixture(scope="module", autouse=True)
def _restore_malloc() -> Iterator[None]:
    """Undo the malloc tuning that an interrupted training leaves behind, so that later tests stay small."""
    yield
    # Only a module that trained has it. Modules without torch need not wait for its import.
    if tuning := sys.modules.get("brats_mm.execution.malloc_tuning"):
        tuning.restore_malloc("cpu")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed the global random generators before each test and its fixtures, so that no result depends on earlier tests."""
    random.seed(0)
    np.random.seed(0)  # the generator that libraries share
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Collect garbage after a test that captures warnings, so that no other test gets its resource warnings."""
    try:
        return (yield)
    finally:
        if item.get_closest_marker("filterwarnings"):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(sys, "unraisablehook", lambda _: None)
                gc.collect()


@pytest.fixture(autouse=True)
def _process_is_as_started() -> Iterator[None]:
    """Undo what a test leaves in the process, so that no other depends on it.

    Logging, signal handlers, environment, working folder, the collector's thresholds, and PyTorch's global settings.
    """
    _restore_logging()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        for name in ("SIGTERM", "SIGHUP"):  # Ray handles SIGTERM, and nohup ignores SIGHUP
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
    interrupt, folder, thresholds = signal.getsignal(signal.SIGINT), Path.cwd(), gc.get_threshold()
    environment, handlers, settings = dict(os.environ), list(logging.getLogger().handlers), _torch_settings()
    yield
    _restore_logging()
    _remove_handlers(but=handlers)
    for setter, value in settings:
        setter(value)
    _restore_environment(environment)
    gc.set_threshold(*thresholds)
    gc.enable()
    os.chdir(folder)
    if is_main and interrupt is not None:
        signal.signal(signal.SIGINT, interrupt)


def _remove_handlers(but: Sequence[logging.Handler]) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if handler not in but and not type(handler).__module__.startswith("_pytest."):
            root.removeHandler(handler)


def _restore_environment(kept: Mapping[str, str]) -> None:
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]
    for name, value in kept.items():
        if os.environ.get(name) != value and name != "PYTEST_CURRENT_TEST":
            os.environ[name] = value


def _torch_settings() -> list[tuple[Callable[[Any], Any], Any]]:
    """Return the setters of PyTorch's global settings with their current values, or nothing before torch is imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    return [
        (torch.set_grad_enabled, torch.is_grad_enabled()),
        (torch.set_default_dtype, torch.get_default_dtype()),
        (torch.set_num_threads, torch.get_num_threads()),
        (torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled()),
    ]


def _restore_logging() -> None:
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    for name, known in logging.root.manager.loggerDict.items():
        if isinstance(known, logging.Logger):
            known.disabled = False  # a bundle's logging file disables every logger that it does not name
            if name.partition(".")[0] in ("brats_mm", "brats_mm_service"):
                known.setLevel(logging.NOTSET)
                known.propagate = True


@pytest.fixture(scope="session")
def made_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case folder with four small sequences of a synthetic head, BraTS 2023 names, LPS, 1 mm. Read-only."""
    import nibabel as nib

    from brats_mm.data.phantom.head import make_phantom

    phantom = make_phantom(3, (64, 72, 56))
    folder = tmp_path_factory.mktemp("made") / "head"
    folder.mkdir()
    names = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}
    for modality, volume in phantom.images.items():
        image = nib.Nifti1Image(np.rint(volume.data).astype(np.int16), volume.grid.affine)
        image.set_sform(volume.grid.affine, 1)
        image.set_qform(volume.grid.affine, 1)
        nib.save(image, folder / f"BraTS-GLI-00000-000-{names[modality.value]}.nii.gz")
    return folder


@pytest.fixture
def head_folder(made_head: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic head that a test may change."""
    return Path(shutil.copytree(made_head, tmp_path / "head"))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the shipped layout and a tiny random network, without medical meaning."""
    import json

    import torch

    from brats_mm.io.bundle import compute_sha256, default_bundle
    from tests.fakes.networks import TINY_MIXTURE, tiny_mixture

    root = tmp_path_factory.mktemp("bundles") / "tiny_segmentation"
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    metadata = (default_bundle() / "configs" / "metadata.json").read_text(encoding="utf-8")
    (root / "configs" / "metadata.json").write_text(metadata, encoding="utf-8")
    config = {"network_def": TINY_MIXTURE}
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    weights = root / "models" / "model.pt"
    torch.save(tiny_mixture().state_dict(), weights)
    (root / "models" / "SHA256SUMS").write_text(f"{compute_sha256(weights)}  model.pt\n", encoding="utf-8")
    return root
