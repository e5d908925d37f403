"""Weights are compared with the settings of a run by the record of their training."""

import json
from pathlib import Path

import pytest

from brats_mm.errors import TrainingError
from brats_mm.training.record import check_evaluated_spacing, check_same_spacing, make_record_path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a training run with voxels of 3 mm."""
    path = tmp_path / "model.pt"
    path.touch()
    make_record_path(path).write_text(json.dumps({"settings": {"spacing_mm": 3.0}}))
    return path


def test_evaluation_needs_voxel_size_of_training(weights: Path, tmp_path: Path) -> None:
    check_evaluated_spacing(weights, 3)
    check_evaluated_spacing(tmp_path / "unrecorded.pt", 2)
    with pytest.raises(TrainingError, match=r"voxels of 3\.0 mm, but this config uses 2 mm\. Set --spacing_mm 3\.0\."):
        check_evaluated_spacing(str(weights), 2)


def test_initial_weights_need_voxel_size_of_training(weights: Path) -> None:
    check_same_spacing(weights, None)
    with pytest.raises(TrainingError, match="but this run uses 2 mm"):
        check_same_spacing(weights, 2)
