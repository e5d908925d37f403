"""The benchmarks of inference count operations and stages correctly."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import cuda_inference
import files_to_files
import fine_windows
import roofline
import training_step

from brats_mm.inference import coarse_to_fine


def test_operations_of_convolutions_are_two_per_weight_and_voxel():
    network = nn.Sequential(
        nn.Conv3d(2, 4, 3, stride=2, padding=1, bias=False), nn.ConvTranspose3d(4, 3, 2, stride=2, bias=False)
    )
    flops = roofline.flops_by_layer(network, torch.zeros(1, 2, 8, 8, 8))
    assert flops == {"0": 2 * 4**3 * 4 * 2 * 27, "1": 2 * 4**3 * 4 * 3 * 8}


@pytest.mark.slow
def test_roofline_has_row_per_expert():
    pytest.importorskip("openvino")
    rows = roofline.measure(["openvino", "torch"], 1, {"flair": (1, 1, 128, 64, 64), "cross": (1, 4, 32, 32, 32)})
    assert [(row["backend"], row["expert"]) for row in rows] == [
        ("openvino", "flair"),
        ("torch", "flair"),
        ("openvino", "cross"),
        ("torch", "cross"),
    ]
    assert all(row["share"] > 0 for row in rows)
    assert rows[0]["layers"]
    assert "| openvino | cross |" in roofline.table(rows)


def test_first_round_is_excluded_and_shares_refer_to_four_sequences():
    def row(name, *seconds):
        return {"backend": "torch", "sequences": name, "rounds": [{"whole": value} for value in seconds]}

    names = list(files_to_files.SETS)
    rows = [row(names[0], 9, 4, 2, 4), row(names[3], 8, 1)]
    assert files_to_files.median_of(rows[0], "whole") == 4
    assert files_to_files.median_of(row("T1", 3), "whole") == 3
    text = files_to_files.shares(rows, "torch")
    assert "| T1, T1ce, T2, FLAIR | 1.00 | 1.15 |" in text
    assert "| T1ce | 0.25 | 0.40 |" in text


@pytest.mark.slow
def test_gpu_benchmark_runs_dry_on_cpu():
    rows = cuda_inference.measure("cpu", sides=(128, 64, 64), repeat=1, cases=1, batches=(1, 2))
    assert [row["way"] for row in rows] == [
        "float32, batch 1",
        "float32, batch 2",
        "bfloat16, batch 1",
        "bfloat16, batch 2",
    ]
    assert all(row["median_s"] > 0 and row["cases_per_s"] > 0 for row in rows)


def test_training_step_has_a_row_for_each_expert_precision_and_normalisation():
    rows = training_step.measure(
        ["cross", "modality"], 1, {"cross": (2, 4, 32, 32, 32), "modality": (1, 1, 64, 32, 32)}
    )
    assert [(row["expert"], row["precision"], row["norm"]) for row in rows] == [
        (expert, precision, norm)
        for expert in ("cross", "modality")
        for precision in ("float32", "bfloat16")
        for norm in ("PyTorch's", "ours")
    ]
    assert all(row["s"] > 0 and row["share"] > 0 for row in rows)
    assert "| cross | bfloat16 | ours |" in training_step.table(rows)


def test_pytorch_norm_computes_the_same_logits():
    expert = training_step.build_expert("modality").eval()
    crop = torch.randn(1, 1, 64, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(training_step.with_pytorch_norm(expert)(crop), expert(crop), rtol=1e-4, atol=1e-4)


def test_other_fine_windows_apply_only_inside_the_context():
    voxels = torch.ones(200, 120, 120, dtype=torch.bool)
    shipped = len(coarse_to_fine.place_fine_windows(voxels).positions)
    with fine_windows.fine_windows(240, 0.0):
        assert len(coarse_to_fine.place_fine_windows(voxels).positions) == 1
    assert len(coarse_to_fine.place_fine_windows(voxels).positions) == shipped > 1
