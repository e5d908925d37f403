"""Checkpoints are complete or absent, and their weights are finite."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from brats_mm.errors import OutputError, TrainingError
from brats_mm.training.checkpoints import atomic_save, check_finite

resource = pytest.importorskip("resource")  # Windows has no file size limits


@contextmanager
def _full_after(bytes_left: int) -> Iterator[None]:
    """Limit the file size of this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_checkpoint_round_trips_without_leftover_files(tmp_path: Path) -> None:
    atomic_save({"a": torch.ones(2)}, tmp_path / "new" / "model.pt")

    assert torch.equal(torch.load(tmp_path / "new" / "model.pt", weights_only=True)["a"], torch.ones(2))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt"]


def test_full_disk_raises_error_and_keeps_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    atomic_save({"a": torch.ones(2)}, path)
    before = path.read_bytes()

    with (
        _full_after(20_000),
        pytest.raises(
            OutputError, match=r"model\.pt cannot be written: File too large\. The previous checkpoint is kept"
        ),
    ):
        atomic_save({"a": torch.ones(100_000)}, path)

    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_rejects_path_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written: .*There is no earlier checkpoint"):
        atomic_save({}, tmp_path / "file" / "model.pt")


def test_rejects_weights_that_are_not_finite() -> None:
    check_finite({"a": torch.ones(2)}, Path("model.pt"))
    with pytest.raises(TrainingError, match=r"1 parameters .* \(first: b\), so model\.pt was not written"):
        check_finite({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])}, Path("model.pt"))
