"""The training benchmark measures both sides on the same crops and describes the measurement."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from training_plain import Plan, two_views
from training_throughput import compare, rows_of, table, write_cases

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    heads = write_cases(tmp_path_factory.mktemp("heads"), 1, (48, 48, 48))
    return Plan(
        stage=1,
        items=(heads[0], heads[0]),
        size="light",
        window=(64, 32, 32),
        batch_size=2,
        workers=0,
        augmentation="small_data",
        spacing_mm=2.0,
    )


def test_plain_side_doubles_batch_into_larger_and_smaller_subsets() -> None:
    np.random.seed(0)
    image, label = torch.ones(3, 4, 2, 2, 2), torch.ones(3, 3, 2, 2, 2)

    views, labels, (available,), _ = two_views({"image": image, "label": label})

    more, fewer = available.chunk(2)
    assert bool((more >= fewer).all())
    assert bool((more.sum(1) > fewer.sum(1)).all())
    assert torch.equal(views.amax((2, 3, 4)) > 0, available)
    assert labels.shape == (6, 3, 2, 2, 2)


@pytest.mark.parametrize(("stage", "augmentation"), [(1, "paper"), (2, "small_data")])
def test_both_sides_train_all_crops_in_every_round(plan: Plan, tmp_path: Path, stage: int, augmentation: str) -> None:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        ours, plain = compare([replace(plan, stage=stage, augmentation=augmentation)], 1, CPU, tmp_path)
    finally:
        logging.disable(level)

    (row,) = rows_of([ours, plain])
    for side in (ours, plain):
        (result,) = side.rounds
        assert side.trainer.state.iteration == 2, "one step to warm up, one that counts"
        assert result["crops_per_second"] == pytest.approx(2 / result["seconds"])
        assert 0 < result["wait_share"] < 1
        assert side.trainer.state.output[0]["image"].shape == (1 if stage == 1 else 4, 64, 32, 32)
    assert row["ratio"] == pytest.approx(plain.rounds[0]["seconds"] / ours.rounds[0]["seconds"])


def test_table_has_row_per_stage_and_number_of_processes() -> None:
    def side(speed: float, wait: float) -> dict[str, object]:
        return {"crops_per_second": speed, "wait_share": wait, "rounds": []}

    rows = [{"stage": 2, "workers": 1, "ratio": 1.5, "ours": side(3, 0.012), "plain": side(2, 0.1)}]

    assert table(rows).splitlines()[2] == "| 2 | 1 | 3.00 | 2.00 | 1.50 | 1.2 % | 10.0 % |"
