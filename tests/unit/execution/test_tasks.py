"""Dispatch of tasks to workers, and retries of tasks whose worker is lost."""

from dataclasses import dataclass

import pytest

from brats_mm.execution.tasks import HELD, Finished, Task, Waiting, describe_exit, run_tasks


@dataclass(frozen=True)
class Sum(Task):
    name: str = ""


@dataclass(frozen=True)
class Answer:
    name: str


class LossyEngine:
    """Return results in order, after losing the worker of each task `losses` times."""

    width, retries = 2, 2

    def __init__(self, **losses):
        self.losses, self.held, self.most, self.submitted = losses, [], 0, []

    def submit(self, task):
        self.held.append(task)
        self.submitted.append(task)
        self.most = max(self.most, len(self.held))

    def collect(self, timeout_s):
        if not self.held or (timeout_s == 0 and len(self.held) < self.width):
            return []
        task = self.held.pop(0)
        if self.losses.get(task.name, 0) > 0:
            self.losses[task.name] -= 1
            return [Finished(task, None, "signal SIGKILL")]
        return [Finished(task, Answer(task.name))]


def test_each_task_returns_once_and_concurrency_is_limited():
    engine = LossyEngine()
    ended = list(run_tasks(engine, map(Sum, "abcde")))
    assert [(one.result.name, one.attempts) for one in ended] == [(name, 1) for name in "abcde"]
    assert engine.most == 2


def test_lost_task_is_retried_alone_then_given_up():
    engine = LossyEngine(a=2, b=3)
    ended = {one.task.name: one for one in run_tasks(engine, map(Sum, "abc"))}
    assert (ended["a"].result.name, ended["a"].attempts) == ("a", 3)
    assert (ended["b"].result, ended["b"].attempts, ended["b"].lost) == (None, 3, "signal SIGKILL")
    assert [task.alone for task in engine.submitted if task.name == "b"] == [False, True, True]
    assert [task.alone for task in engine.submitted if task.name == "c"] == [False]


def waiting(*tasks):
    actual = Waiting()
    for task in tasks:
        actual.add(task)
    return actual


@pytest.mark.parametrize(
    ("task", "held", "index"),
    [
        (Sum("a"), [[Sum("x")], []], 1),
        (Sum("a"), [[Sum("x")], None], 0),
        (Sum("a"), [[Sum("x")] * HELD], None),
        (Sum("a"), [[Sum("x", alone=True)], [Sum("y")]], 1),
        (Sum("a"), [[Sum("x", alone=True)]], None),
        (Sum("a", alone=True), [[Sum("x")], []], 1),
        (Sum("a", alone=True), [[Sum("x")]], None),
        (Sum("a"), [], None),
    ],
)
def test_least_busy_worker_gets_next_task(task, held, index):
    found = waiting(task).assign(held)
    assert found == (None if index is None else (index, task))


def test_tasks_that_run_alone_go_first():
    tasks = waiting(Sum("a"), Sum("b", alone=True))
    assert tasks.assign([[]]) == (0, Sum("b", alone=True))
    assert tasks.assign([[]]) == (0, Sum("a"))
    assert tasks.assign([[]]) is None


def test_exit_codes_have_descriptions():
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(3) == "exit code 3"
