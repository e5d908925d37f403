"""Runs of an experiment as tasks: each expert first and once, named failures, results in order."""

from pathlib import Path

import pytest

from brats_mm.errors import OptionError, TrainingError
from brats_mm.execution.tasks import Finished
from brats_mm.experiments.comparison import on_ray
from brats_mm.experiments.comparison.evaluation import RunEvaluator
from brats_mm.experiments.comparison.run import Data, Experiment, ExperimentRun, Outcome
from brats_mm.experiments.comparison.training import Budget, Training

EXPERT = Training(Path("experts/x/seed_1/t1"), {}, "expert")


class LastFirstEngine:
    """Computes in this process, the latest task first. The workers of `lost` training runs die."""

    width, retries = 10, 1

    def __init__(self, *lost):
        self.lost, self.tasks = lost, []

    def submit(self, task):
        self.tasks.append(task)

    def collect(self, timeout_s):
        if timeout_s == 0:
            return []
        task = self.tasks.pop()
        if task.name in self.lost:
            return [Finished(task, None, "signal SIGKILL")]
        return [Finished(task, result) for result in on_ray.Trainer(0).run([task, None])]


def experiment():
    """Return an experiment in which two methods share an expert, and the third needs none."""
    runs = tuple(
        ExperimentRun(name, 1, Training(Path(name), {}, "training"), experts)
        for name, experts in (("a", (EXPERT,)), ("b", (EXPERT,)), ("c", ()))
    )
    return Experiment(runs, RunEvaluator(()), Budget(epochs=1), Data(Path(), Path("list.json")))


@pytest.fixture
def diary(monkeypatch):
    done = []
    monkeypatch.setattr(on_ray, "prepare_expert", lambda expert: done.append(expert.label))
    monkeypatch.setattr(on_ray, "perform", lambda run, evaluator: done.append(run.method) or Outcome(run))
    return done


def test_experts_are_trained_once_before_all_runs(diary):
    outcomes = list(on_ray.perform_runs(LastFirstEngine(), experiment()))
    assert [outcome.run.method for outcome in outcomes] == ["a", "b", "c"], "in the order of the experiment"
    assert diary == ["expert", "c", "b", "a"], "in the order of the engine"


def test_runs_of_failed_expert_report_reason_and_others_continue(diary, monkeypatch):
    def fail(expert):
        raise TrainingError("No memory.")

    monkeypatch.setattr(on_ray, "prepare_expert", fail)
    outcomes = list(on_ray.perform_runs(LastFirstEngine(), experiment()))
    assert [outcome.failure for outcome in outcomes] == ["No memory.", "No memory.", ""]
    assert diary == ["c"]


def test_run_fails_when_its_workers_die_and_others_continue(diary):
    outcomes = list(on_ray.perform_runs(LastFirstEngine("b"), experiment()))
    assert [(outcome.run.method, bool(outcome.failure)) for outcome in outcomes] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]
    assert "was lost 2 times (signal SIGKILL)" in outcomes[1].failure


def test_missing_cluster_error_names_command():
    pytest.importorskip("ray")
    with pytest.raises(OptionError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        list(on_ray.perform_on_ray(experiment(), "127.0.0.1:1"))
