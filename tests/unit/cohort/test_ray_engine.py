"""The Ray engine dispatches tasks and handles lost actors, with a fake Ray in this process."""

import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from brats_mm.cohort.records import CaseState, TaskResult
from brats_mm.cohort.run import CohortSettings, run_cohort
from brats_mm.execution.ray_engine import RayEngine
from brats_mm.execution.tasks import HELD
from tests.unit.cohort.test_run import manifest_of


class GoneError(Exception):
    """Error of the fake Ray for a lost actor."""


class Handle:
    """A fake actor in this process, whose calls run in threads."""

    made = ()

    def __init__(self, kind, arguments):
        self.dead, self.answers = False, []
        Handle.made += (self,)
        self.actor = kind(*arguments)

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *arguments: self.call(name, arguments))

    def call(self, name, arguments):
        answer = Future()
        self.answers.append(answer)

        def run():
            value = getattr(self.actor, name)(*arguments)
            if not answer.done():
                answer.set_result(value)

        threading.Thread(target=run, daemon=True).start()
        return answer

    def die(self):
        self.dead = True
        for answer in self.answers:
            if not answer.done():
                answer.set_exception(GoneError())


class Cases:
    """Runner that records how many cases it holds at once. The case `deadly` kills its actor."""

    def __init__(self, seen):
        self.seen, self.handle = seen, Handle.made[-1]

    def run(self, tasks):
        for task in tasks:
            if task is None:
                return
            name = task.case.name
            self.seen.append((name, sum(not answer.done() for answer in self.handle.answers)))
            if name == "deadly":
                self.handle.die()
                threading.Event().wait()
            yield TaskResult(name, CaseState.DONE, "content", {"case": name})


@pytest.fixture
def ray(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # actors set it
    monkeypatch.setattr(Handle, "made", ())
    module, exceptions = ModuleType("ray"), ModuleType("ray.exceptions")
    module.__spec__ = ModuleSpec("ray", None)
    exceptions.RayError = GoneError
    module.is_initialized = lambda: True
    module.kill = lambda handle: handle.die()
    module.get = lambda answer: answer.result()
    module.wait = waited
    module.remote = lambda kind: SimpleNamespace(
        options=lambda **_: SimpleNamespace(remote=lambda *arguments: Handle(kind, arguments))
    )
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)


def waited(answers, num_returns, timeout):
    wait(answers, timeout, FIRST_COMPLETED)
    done = [answer for answer in answers if answer.done()][:num_returns]
    return done, [answer for answer in answers if answer not in done]


def test_case_that_kills_its_actor_is_retried_alone(ray, tmp_path):
    seen = []
    engine = RayEngine(lambda slot: Cases(seen), workers=1)
    manifest = manifest_of(tmp_path / "in", ["a", "deadly", "b", "c"])
    status = run_cohort(manifest, tmp_path / "out", engine, CohortSettings("model-1"))
    assert (status.done, status.failed) == (3, 1)
    deadly = [held for name, held in seen if name == "deadly"]
    assert len(deadly) == 4
    assert deadly[1:] == [1, 1, 1], "after the first time nothing else was in its actor"
    assert "stopped 4 times" in (tmp_path / "out" / "failures.csv").read_text()
    assert len(Handle.made) == 5, "one for each that went"


def test_tasks_per_actor_are_limited(ray, tmp_path):
    seen = []
    engine = RayEngine(lambda slot: Cases(seen), workers=2)
    assert engine.width == 2 * HELD
    names = [f"case-{number:02d}" for number in range(40)]
    status = run_cohort(manifest_of(tmp_path / "in", names), tmp_path / "out", engine, CohortSettings("model-1"))
    assert status.done == 40
    assert sorted(name for name, _ in seen) == names, "each once"
    assert max(held for _, held in seen) <= HELD
