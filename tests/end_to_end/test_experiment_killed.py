"""A killed experiment resumes with the same command and has the same result."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import brats_mm
from tests.fakes.killing import killed_at
from tests.fakes.methods import EXPERT, NETWORKS, write_small_case

pytestmark = pytest.mark.slow

EPOCHS = 12
RUN = "from brats_mm.cli.main import entry; entry()"


def run(root: Path, program: str) -> "subprocess.CompletedProcess[str]":
    arguments = [
        "experiment",
        "experiment.json",
        "--dataset-dir",
        "cases",
        "--datalist",
        "cases/list.json",
        "-o",
        "out",
    ]
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments, "--epochs", str(EPOCHS)]
    environment = {**os.environ, "PYTHONPATH": str(Path(brats_mm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


def epochs_in(log: Path) -> list[int]:
    return [int(epoch) for epoch in re.findall(r"Epoch (\d+) of", log.read_text())] if log.is_file() else []


def test_killed_experiment_resumes(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two", "three")):
        write_small_case(tmp_path / "cases", name, seed)
    (tmp_path / "cases" / "list.json").write_text(json.dumps({"training": ["one", "two"], "validation": ["three"]}))
    small = {"device": "cpu", "window": [64, 32, 32], "augmentation": "paper", "batch_size": 2}
    method = {"network_def": NETWORKS["simmlm"], "experts_dir": "none"}
    experiment = {"settings": small, "expert_settings": {"network_def": EXPERT}, "methods": {"mixture": method}}
    (tmp_path / "experiment.json").write_text(json.dumps(experiment))
    log = tmp_path / "out" / "runs" / "mixture" / "seed_1" / "train.log"

    first = run(tmp_path, killed_at(f"Epoch 3 of {EPOCHS}") + RUN)
    before = epochs_in(log)
    assert first.returncode == -signal.SIGKILL, first.stdout
    assert before[-1] in (2, 3), "the third line may be on the screen and not yet in the file"

    second = run(tmp_path, RUN)

    assert second.returncode == 0, second.stdout
    after = epochs_in(log)[len(before) :]
    assert after[0] in (before[-1], before[-1] + 1), "the epoch that was not saved, or the next one"
    assert after == list(range(after[0], EPOCHS + 1))
    assert json.loads((log.parent / "trained.json").read_text())["epochs"] == EPOCHS
    assert "| mixture | 1 |" in (tmp_path / "out" / "experiment.md").read_text()
