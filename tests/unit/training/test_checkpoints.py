"""A checkpoint is complete or absent, and its weights are finite."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from brats_mm.errors import OutputError, TrainingError
from brats_mm.training.checkpoints import atomic_save, check_finite

resource = pytest.importorskip("resource")  # Windows has no limits on the size of files


@contextmanager
def _full_after(bytes_left: int) -> Iterator[None]:
    """Files of this process can grow to so many bytes and no further, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_reads_back_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    atomic_save({"a": torch.ones(2)}, tmp_path / "new" / "model.pt")

    assert torch.equal(torch.load(tmp_path / "new" / "model.pt", weights_only=True)["a"], torch.ones(2))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt"]


def test_a_full_disk_is_reported_in_a_sentence_and_the_former_checkpoint_stays(tmp_path: Path) -> None:
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


def test_a_place_that_is_no_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written: .*There is no earlier one"):
        atomic_save({}, tmp_path / "file" / "model.pt")


def test_weights_that_are_no_numbers_are_refused() -> None:
    check_finite({"a": torch.ones(2)}, Path("model.pt"))
    with pytest.raises(TrainingError, match=r"1 parameters .* \(first: b\), so model\.pt was not written"):
        check_finite({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])}, Path("model.pt"))
