"""An experiment's runs as tasks: experts first and once each, failures named, results in the experiment's order."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brats_mm.errors import OptionError
from brats_mm.experiments.comparison import on_ray
from brats_mm.experiments.comparison.evaluation import RunEvaluator
from brats_mm.experiments.comparison.run import Data, Experiment, ExperimentRun, Outcome
from brats_mm.experiments.comparison.training import Budget, Training


@dataclass
class FakeRay:
    """Computes a task when its answer is asked for; keeps a diary."""

    diary: list[str] = field(default_factory=list)
    fault: Exception | None = None

    def init(self, **options: Any) -> None:
        if self.fault:
            raise self.fault
        self.diary.append(f"init {options['address']}")

    def is_initialized(self) -> bool:
        return False

    def shutdown(self) -> None:
        self.diary.append("shutdown")

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        self.diary.append(f"cores {options['num_cpus']}, GPUs {options['num_gpus']}")

        def task_of(function: Callable[..., Any]) -> Any:
            task = ModuleType("task")
            task.remote = lambda *given: (function, given)  # type: ignore[attr-defined]
            return task

        return task_of

    def get(self, reference: Any) -> Any:
        function, given = reference
        return function(*given)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    made = FakeRay()
    module: Any = ModuleType("ray")
    module.__spec__ = ModuleSpec("ray", None)
    for name in ("init", "is_initialized", "shutdown", "remote", "get"):
        setattr(module, name, getattr(made, name))
    monkeypatch.setitem(sys.modules, "ray", module)
    return made


EXPERT = Training(Path("experts/x/seed_1/t1"), {}, "expert")


def experiment() -> Experiment:
    """Two methods share an expert, the third needs none."""
    runs = tuple(
        ExperimentRun(name, 1, Training(Path(name), {}, "training"), experts)
        for name, experts in (("a", (EXPERT,)), ("b", (EXPERT,)), ("c", ()))
    )
    return Experiment(runs, RunEvaluator(()), Budget(epochs=1), Data(Path(), Path("list.json")))


def test_experts_are_trained_once_then_all_runs(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "_ready", lambda expert: ray.diary.append("expert") or "")
    monkeypatch.setattr(on_ray, "perform", lambda run, evaluator: ray.diary.append(run.method) or Outcome(run))

    outcomes = list(on_ray.perform_on_ray(experiment(), "auto", cores=4, gpus=1))

    assert [outcome.run.method for outcome in outcomes] == ["a", "b", "c"]
    tasks = "cores 4, GPUs 1"
    assert ray.diary == ["init auto", tasks, "expert", tasks, "a", "b", "c", "shutdown"]


def test_runs_whose_expert_failed_say_why_and_the_others_go_on(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "_ready", lambda expert: "No memory.")
    monkeypatch.setattr(on_ray, "perform", lambda run, evaluator: Outcome(run))

    outcomes = list(on_ray.perform_on_ray(experiment(), "auto"))

    assert [outcome.failure for outcome in outcomes] == ["No memory.", "No memory.", ""]


def test_no_cluster(ray: FakeRay) -> None:
    ray.fault = ConnectionError("nobody there")
    with pytest.raises(OptionError, match="no Ray cluster at 'far:6379'"):
        list(on_ray.perform_on_ray(experiment(), "far:6379"))
